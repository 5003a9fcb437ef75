/*
 * The chat server's store beside SQLite alone, in one run on one disk: durable messages a
 * second through the desk, from 64 senders with 16 outstanding each, and of a loop that only
 * inserts rows, with the same tables and as many in a transaction; and how long a database
 * of a million messages takes to open, also after an end without warning, and to forget.
 *
 *   bench-store FOLDER [MESSAGES [RUNS]]
 *   bench-store FOLDER alone MESSAGES BATCH   the loop that only inserts; prints rows a second
 *   bench-store FOLDER fill MESSAGES          leaves a chat.db with so many messages
 */
#include "desk.h"
#include "store_sqlite.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SENDERS     64
#define OUTSTANDING 16
#define ROOMS       20
#define TEXT        120
#define MILLION     1000000

static char path[200];
static const char *folder;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "bench-store: %s: %d\n", what, rc);
  exit(1);
}

static void remove_all(void) {
  static const char *const suffixes[] = {"", "-wal", "-shm"};
  for (size_t i = 0; i < 3; i++) {
    char name[220];
    snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
    unlink(name);
  }
}

static void make(const char *name) {
  store *s;
  char why[400];
  snprintf(path, sizeof(path), "%s/%s.db", folder, name);
  remove_all();
  must(store_sqlite_open(&s, path, true, why), path);
  must(store_begin(s), "begin");
  for (int i = 0; i < SENDERS; i++) {
    char handle[20];
    snprintf(handle, sizeof(handle), "sender%d", i);
    store_user user = {.handle = caw_str_from(handle), .role = 2, .state = 1};
    must(store_user_add(s, &user, caw_str_from("")), "user");
  }
  for (int i = 0; i < ROOMS; i++) {
    char room_name[20];
    snprintf(room_name, sizeof(room_name), "room%d", i);
    store_room room = {.name = caw_str_from(room_name),
                       .folded = caw_str_from(room_name),
                       .visibility = 1,
                       .kind = 1};
    must(store_room_add(s, &room), "room");
  }
  must(store_commit(s), "commit");
  store_close(s);
}

/* ---- Through the desk ---- */

typedef struct sent {
  desk_job base;
  store_message message;
  char id[20];
  double at;
} sent;

static char text[TEXT];
static struct {
  pthread_mutex_t lock;
  pthread_cond_t over;
  desk *desk;
  long asked, most, out, acked;
  double longest, sum;
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};

static int work(desk_job *base, store *s) {
  bool duplicate;
  return store_message_add(s, &((sent *)base)->message, &duplicate);
}

/* Locked. */
static void send_next(sent *m, int sender) {
  long n = it.asked++;
  snprintf(m->id, sizeof(m->id), "%ld", n);
  m->message = (store_message){.room_id = 1 + n % ROOMS,
                               .author_id = 1 + sender,
                               .sent = 1000 + n,
                               .kind = 1,
                               .client_id = caw_str_from(m->id),
                               .text = caw_str_of(text, TEXT)};
  m->at = now();
  it.out++;
  must(desk_write(it.desk, &m->base), "desk_write");
}

static void done(desk_job *base, int rc) {
  sent *m = (sent *)base;
  must(rc, "not acknowledged");
  pthread_mutex_lock(&it.lock);
  double took = now() - m->at;
  if (took > it.longest) it.longest = took;
  it.sum += took;
  it.acked++;
  it.out--;
  if (it.asked < it.most) send_next(m, (int)(m->message.author_id - 1));
  if (!it.out) pthread_cond_broadcast(&it.over);
  pthread_mutex_unlock(&it.lock);
}

static int open_it(store **out, bool writer, char why[400], void *user) {
  (void)user;
  return store_sqlite_open(out, path, writer, why);
}

static double through_desk(long messages, size_t *batch) {
  static sent all[SENDERS * OUTSTANDING];
  const desk_options options = {.open = open_it};
  char why[400];
  desk_numbers numbers;
  make("desk");
  must(desk_new(&it.desk, &options, why), why);
  it.asked = it.out = it.acked = 0;
  it.longest = it.sum = 0;
  it.most = messages;
  double begun = now();
  pthread_mutex_lock(&it.lock);
  for (int i = 0; i < SENDERS * OUTSTANDING; i++) {
    all[i] = (sent){.base = {.work = work, .done = done}};
    send_next(&all[i], i % SENDERS);
  }
  while (it.out) pthread_cond_wait(&it.over, &it.lock);
  pthread_mutex_unlock(&it.lock);
  double took = now() - begun;
  desk_look(it.desk, &numbers);
  *batch = (size_t)(numbers.jobs / numbers.turns);
  desk_free(it.desk);
  return (double)messages / took;
}

/* ---- SQLite alone ---- */

static void sql(sqlite3 *db, const char *what) {
  must(sqlite3_exec(db, what, NULL, NULL, NULL), what);
}

static int wal_pages;
static int on_commit(void *arg, sqlite3 *db, const char *name, int pages) {
  (void)arg;
  (void)db;
  (void)name;
  wal_pages = pages;
  return 0;
}

static double alone(long messages, size_t batch) {
  sqlite3 *db;
  sqlite3_stmt *st;
  int64_t numbers[ROOMS] = {0};
  make("alone");
  must(sqlite3_open(path, &db), path);
  sql(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -8192");
  sqlite3_wal_hook(db, on_commit, NULL);
  must(sqlite3_prepare_v2(db,
                          "INSERT INTO messages(key, author_id, sent, kind, reply_to, client_id,"
                          " guest_name, text, sum) VALUES(?, ?, ?, 1, 0, ?, '', ?, ?)",
                          -1, &st, NULL),
       "prepare");
  double begun = now();
  for (long n = 0; n < messages;) {
    sql(db, "BEGIN IMMEDIATE");
    for (size_t i = 0; i < batch && n < messages; i++, n++) {
      char id[20];
      int len = snprintf(id, sizeof(id), "%ld", n);
      int64_t room = n % ROOMS;
      sqlite3_bind_int64(st, 1, (room + 1) << 40 | ++numbers[room]);
      sqlite3_bind_int64(st, 2, 1 + n % SENDERS);
      sqlite3_bind_int64(st, 3, 1000 + n);
      sqlite3_bind_text(st, 4, id, len, SQLITE_STATIC);
      sqlite3_bind_text(st, 5, text, TEXT, SQLITE_STATIC);
      sqlite3_bind_int64(st, 6, n * 77777777777);
      must(sqlite3_step(st) == SQLITE_DONE ? 0 : 1, "insert");
      sqlite3_reset(st);
    }
    sql(db, "COMMIT");
    if (wal_pages > 8192)
      sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  }
  double took = now() - begun;
  sqlite3_finalize(st);
  sqlite3_close(db);
  return (double)messages / took;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void speed(long messages, int runs) {
  double desks[16], alones[16], ratios[16];
  for (int i = 0; i < runs; i++) {
    size_t batch;
    desks[i] = through_desk(messages, &batch);
    double longest = it.longest, mean = it.sum / (double)it.acked;
    alones[i] = alone(messages, batch);
    ratios[i] = desks[i] / alones[i];
    printf("  desk %8.0f/s  sqlite alone %8.0f/s  ratio %.2f  (%zu in a turn; acknowledged after"
           " %.1f ms, at most %.0f ms)\n",
           desks[i], alones[i], ratios[i], batch, mean * 1e3, longest * 1e3);
  }
  qsort(desks, (size_t)runs, sizeof(double), compare);
  qsort(alones, (size_t)runs, sizeof(double), compare);
  qsort(ratios, (size_t)runs, sizeof(double), compare);
  printf("median: desk %.0f/s, sqlite alone %.0f/s, ratio %.2f\n", desks[runs / 2],
         alones[runs / 2], ratios[runs / 2]);
}

/* ---- Opening and forgetting ---- */

static void add(store *s, long from, long to) {
  bool duplicate;
  for (long n = from; n < to;) {
    must(store_begin(s), "begin");
    for (int i = 0; i < 1000 && n < to; i++, n++) {
      char id[24];
      snprintf(id, sizeof(id), "%ld", n);
      store_message m = {.room_id = 1 + n % ROOMS,
                         .author_id = 1 + n % SENDERS,
                         .sent = 1000 + n,
                         .kind = 1,
                         .client_id = caw_str_from(id),
                         .text = caw_str_of(text, TEXT)};
      must(store_message_add(s, &m, &duplicate), "add");
    }
    must(store_commit(s), "commit");
    must(store_rest(s, false), "rest");
  }
}

static double opening(const char *what) {
  char why[400];
  store *s, *r;
  int64_t count;
  double begun = now();
  must(store_sqlite_open(&s, path, true, why), path);
  must(store_sqlite_open(&r, path, false, why), path);
  must(store_message_count(r, 0, 0, &count), "count");
  double took = now() - begun;
  printf("opened %s, with %ld messages: %.1f ms\n", what, (long)count, took * 1e3);
  store_close(r);
  begun = now();
  store_close(s);
  printf("  closed: %.1f ms\n", (now() - begun) * 1e3);
  return took;
}

static void end_without_warning(long from, long to) {
  pid_t child = fork();
  if (!child) {
    store *s;
    char why[400];
    must(store_sqlite_open(&s, path, true, why), path);
    add(s, from, to);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  must(status, "child");
}

static void forgetting(void) {
  store *s;
  char why[400];
  bool left = true;
  double longest = 0, begun = now();
  int steps = 0;
  must(store_sqlite_open(&s, path, true, why), path);
  for (; left && steps < 200; steps++) {
    double step = now();
    must(store_begin(s), "begin");
    must(store_forget(s, 1, MILLION, 200, &left), "forget");
    must(store_commit(s), "commit");
    step = now() - step;
    if (step > longest) longest = step;
  }
  printf("forgotten 200 in a turn: %.1f ms, at most %.1f ms\n", (now() - begun) * 1e3 / steps,
         longest * 1e3);
  store_close(s);
}

/* The database as a chatd would find it. */
static void fill(long messages) {
  char why[400];
  store *s;
  make("chat");
  must(store_sqlite_open(&s, path, true, why), path);
  add(s, 0, messages);
  store_close(s);
}

int main(int argc, char **argv) {
  memset(text, 'x', sizeof(text));
  if (argc == 5 && !strcmp(argv[2], "alone") && atol(argv[4]) > 0) {
    folder = argv[1];
    printf("%.0f\n", alone(atol(argv[3]), (size_t)atol(argv[4])));
    remove_all();
    return 0;
  }
  if (argc == 4 && !strcmp(argv[2], "fill")) {
    folder = argv[1];
    fill(atol(argv[3]));
    return 0;
  }
  long messages = argc > 2 ? atol(argv[2]) : 200000;
  int runs = argc > 3 ? atoi(argv[3]) : 5;
  if (argc < 2 || messages < 1 || runs < 1 || runs > 16) {
    fprintf(stderr, "usage: bench-store FOLDER [MESSAGES [RUNS]]\n");
    return 2;
  }
  folder = argv[1];
  speed(messages, runs);
  make("million");
  store *s;
  char why[400];
  must(store_sqlite_open(&s, path, true, why), path);
  add(s, 0, MILLION);
  store_close(s);
  opening("after a peaceful end");
  end_without_warning(MILLION, MILLION + 100000);
  opening("after an end without warning");
  forgetting();
  remove_all();
  return 0;
}
