/* Sockets: reading, writing, ends of every kind, and closing at any moment. */
#include "kit.h"

#include "io/filter.h"
#include "io/socket.h"
#include "io/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What happened on a socket, and what it does about it. */
typedef struct end {
  io_socket *s;
  int connects, connect_rc, ends, end_rc, writables, reads;
  size_t bytes, most; /* received; the largest read */
  uint8_t sum;        /* of the bytes, by position */
  uint64_t silent;    /* io_socket_drained_at, of the last read */
  uint64_t read_at;   /* the loop's time then */
  bool close_on_connect, close_on_read, close_on_end, close_on_writable, pause_on_read;
} end;

static void drop(end *e) {
  io_socket_close(e->s);
  e->s = NULL;
}

static void on_connect(void *user, int rc) {
  end *e = user;
  e->connects++;
  e->connect_rc = rc;
  if (e->close_on_connect) drop(e);
}

static void on_read(void *user, const uint8_t *data, size_t len) {
  end *e = user;
  assert_non_null(e->s);
  for (size_t i = 0; i < len; i++) e->sum ^= (uint8_t)(data[i] + e->bytes + i);
  e->bytes += len;
  e->reads++;
  e->silent = io_socket_drained_at(e->s);
  e->read_at = io_now(io_socket_loop(e->s));
  if (len > e->most) e->most = len;
  if (e->pause_on_read) io_socket_read(e->s, false);
  if (e->close_on_read) drop(e);
}

static void on_end(void *user, int rc) {
  end *e = user;
  assert_non_null(e->s);
  e->ends++;
  e->end_rc = rc;
  if (e->close_on_end) drop(e);
}

static void on_writable(void *user) {
  end *e = user;
  assert_non_null(e->s);
  e->writables++;
  if (e->close_on_writable) drop(e);
}

static const io_socket_events events = {on_connect, on_read, on_end, on_writable};

/* --- pairs --------------------------------------------------------------- */

static void local_pair(int fds[2]) {
  int small = 4096;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
  for (int i = 0; i < 2; i++)
    assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
}

/* A port that nobody listens on, as long as the socket has it. */
static int bound(io_address *a) {
  *a = io_address_ip("\x7f\0\0\1", 4, 0);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(bind(fd, &a->u.any, a->len), 0);
  assert_int_equal(getsockname(fd, &a->u.any, &a->len), 0);
  return fd;
}

static int listening(io_address *a) {
  int fd = bound(a);
  assert_int_equal(listen(fd, 16), 0);
  return fd;
}

static void tcp_pair(int fds[2]) {
  io_address a;
  int l = listening(&a);
  fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fds[0], &a.u.any, a.len), 0);
  fds[1] = accept(l, NULL, NULL);
  assert_true(fds[1] >= 0);
  for (int i = 0; i < 2; i++) fcntl(fds[i], F_SETFL, O_NONBLOCK);
  close(l);
}

typedef void (*pair_fn)(int fds[2]);

/* A socket on a loop, and the other end as a plain descriptor. */
typedef struct rig {
  caw_loop *loop;
  end e;
  int peer;
} rig;

static void rig_start(rig *r, pair_fn pair) {
  int fds[2];
  *r = (rig){.loop = kit_loop()};
  pair(fds);
  r->peer = fds[1];
  assert_int_equal(io_socket_adopt(&r->e.s, r->loop, fds[0], &events, &r->e), 0);
}

static void rig_stop(rig *r) {
  io_socket_close(r->e.s);
  caw_loop_free(r->loop);
  if (r->peer >= 0) close(r->peer);
}

/* Closes the peer so that the socket gets a reset. */
static void reset_peer(rig *r) {
  struct linger hard = {1, 0};
  setsockopt(r->peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
  close(r->peer);
  r->peer = -1;
}

/* ---- When bytes came ---- */

/* Two sockets of a loop that are ready in the same turn: what is read from the one takes
 * time, in which the other's bytes are sent. */
typedef struct late {
  caw_loop *loop;
  io_socket *s[2];
  int peers[2], reads;
  uint64_t sent, read;
} late;

typedef struct late_end {
  late *l;
  int i;
} late_end;

static void late_read(void *user, const uint8_t *data, size_t len) {
  late_end *e = user;
  late *l = e->l;
  (void)data;
  l->read = io_now(l->loop);
  if (l->reads++) {
    assert_int_equal(len, 2);
    return;
  }
  while (kit_clock() < l->read + 2 * KIT_MS) {
  }
  l->sent = kit_clock();
  assert_int_equal(write(l->peers[!e->i], "b", 1), 1);
}

static void time_is_not_before_the_bytes(void **state) {
  (void)state;
  static const io_socket_events late_events = {on_connect, late_read, on_end, on_writable};
  late l = {.loop = kit_loop()};
  late_end ends[2] = {{&l, 0}, {&l, 1}};
  for (int i = 0; i < 2; i++) {
    int fds[2];
    local_pair(fds);
    l.peers[i] = fds[1];
    assert_int_equal(io_socket_adopt(&l.s[i], l.loop, fds[0], &late_events, &ends[i]), 0);
    io_socket_read(l.s[i], true);
    assert_int_equal(write(fds[1], "a", 1), 1);
  }
  kit_count(l.loop, &l.reads, 2);
  assert_in_range(l.read, l.sent, UINT64_MAX);
  for (int i = 0; i < 2; i++) {
    io_socket_close(l.s[i]);
    close(l.peers[i]);
  }
  caw_loop_free(l.loop);
}

static void until_count(rig *r, const int *n) {
  kit_count(r->loop, n, 1);
}

/* How often the loop turns in 30 ms in which nothing should happen. */
static int idle_turns(rig *r) {
  int turns = 0;
  uint64_t stop = kit_clock() + 30 * KIT_MS;
  while (kit_clock() < stop) {
    struct pollfd p = {caw_loop_fd(r->loop), POLLIN, 0};
    int ms = caw_loop_timeout(r->loop);
    poll(&p, 1, ms < 0 || ms > 30 ? 30 : ms);
    caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
    turns++;
  }
  return turns;
}

static const struct kind {
  const char *name;
  pair_fn pair;
} kinds[] = {{"unix", local_pair}, {"tcp", tcp_pair}};

#define EACH_KIND(k) for (const struct kind *k = kinds; k < kinds + 2; k++)

/* --- reading ------------------------------------------------------------- */

static void reads_when_told(void **state) {
  (void)state;
  EACH_KIND(k) {
    rig r;
    rig_start(&r, k->pair);
    assert_int_equal(send(r.peer, "abc", 3, 0), 3);
    kit_while(r.loop, 5);
    assert_int_equal(r.e.bytes, 0); /* a new socket does not read */
    io_socket_read(r.e.s, true);
    until_count(&r, &r.e.reads);
    assert_int_equal(r.e.bytes, 3);
    assert_int_equal(r.e.sum, ('a' ^ ('b' + 1) ^ ('c' + 2)));
    io_socket_read(r.e.s, false);
    assert_int_equal(send(r.peer, "abc", 3, 0), 3);
    kit_while(r.loop, 5);
    assert_int_equal(r.e.bytes, 3);
    io_socket_read(r.e.s, true);
    kit_while(r.loop, 1);
    assert_int_equal(r.e.bytes, 6);
    assert_true(idle_turns(&r) < 6);
    rig_stop(&r);
  }
}

static void pause_inside_read(void **state) {
  rig r;
  (void)state;
  rig_start(&r, tcp_pair);
  r.e.pause_on_read = true;
  uint8_t *chunk = calloc(1, 1 << 20);
  assert_non_null(chunk);
  assert_true(send(r.peer, chunk, 1 << 20, 0) > 65536);
  io_socket_read(r.e.s, true);
  until_count(&r, &r.e.reads);
  kit_while(r.loop, 5);
  assert_int_equal(r.e.reads, 1);
  free(chunk);
  rig_stop(&r);
}

/* A peer that floods is read a bounded amount per turn. */
static void reads_are_fair(void **state) {
  static uint8_t chunk[65536];
  rig r;
  (void)state;
  rig_start(&r, local_pair);
  int big = 8 << 20;
  size_t sent = 0;
  ssize_t n;
  setsockopt(r.peer, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
  while ((n = send(r.peer, chunk, sizeof(chunk), 0)) > 0) sent += (size_t)n;
  if (sent <= 4 * 65536) skip(); /* net.core.wmem_max is too small here */
  io_socket_read(r.e.s, true);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT); /* tells the kernel of it */
  /* Little at first, then twice as much in each turn, up to four buffers. */
  size_t had = 0;
  for (size_t turn = 4096; had + turn <= sent; turn *= turn < 4 * (size_t)65536 ? 2 : 1) {
    while (r.e.bytes == had) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
    assert_int_equal(r.e.bytes - had, turn);
    had = r.e.bytes;
  }
  assert_true(had > 4 * 65536);
  while (r.e.bytes < sent) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_int_equal(r.e.most, 65536);
  /* And little again when it was worth little. */
  had = r.e.bytes;
  for (sent = 0; (n = send(r.peer, chunk, sizeof(chunk), 0)) > 0;) sent += (size_t)n;
  io_socket_slow(r.e.s);
  while (r.e.bytes == had) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r.e.bytes - had, 1024);
  rig_stop(&r);
}

static void *send_later(void *fd) {
  usleep(5000);
  assert_int_equal(send(*(int *)fd, "later", 5, 0), 5);
  return NULL;
}

static void never(io_timer *timer) {
  (void)timer;
}

static void send_all(rig *r, size_t len) {
  static const uint8_t zeros[7 * 4096];
  assert_int_equal(send(r->peer, zeros, len, 0), len);
}

static void read_next(rig *r, size_t len) {
  size_t had = r->e.bytes;
  while (r->e.bytes == had) caw_loop_run(r->loop, CAW_LOOP_NOWAIT);
  assert_int_equal(r->e.bytes, had + len);
}

/* Since when may have been there what is read? */
static void knows_the_silence(void **state) {
  rig r;
  io_timer timer; /* without one nobody knows how long the loop waits */
  pthread_t thread;
  int enough = 65536;
  (void)state;
  rig_start(&r, local_pair);
  assert_int_equal(setsockopt(r.peer, SOL_SOCKET, SO_SNDBUF, &enough, sizeof(enough)), 0);
  assert_int_equal(io_timer_init(&timer, r.loop, never), 0);
  io_timer_start(&timer, io_now(r.loop) + 60000 * KIT_MS);
  io_socket_read(r.e.s, true);
  caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  /* At first nobody knows. */
  uint64_t sent = kit_clock();
  send_all(&r, 3);
  read_next(&r, 3);
  assert_int_equal(r.e.silent, 0);
  /* Perhaps since the turn before. */
  usleep(5000);
  for (int i = 0; i < 3; i++) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  uint64_t turn = caw_loop_now(r.loop);
  send_all(&r, 3);
  read_next(&r, 3);
  assert_true(r.e.silent > sent + 5 * KIT_MS && r.e.silent <= turn);
  /* It came just now, as the loop has waited for it. */
  int tries = 0;
  do { /* on a busy machine it may come to it too late */
    r.e.reads = 0;
    sent = kit_clock();
    assert_int_equal(pthread_create(&thread, NULL, send_later, &r.peer), 0);
    while (!r.e.reads) caw_loop_run(r.loop, CAW_LOOP_ONCE);
    pthread_join(thread, NULL);
    assert_true(r.e.silent <= r.e.read_at);
  } while (r.e.silent < sent + 5 * KIT_MS && ++tries < 20);
  assert_true(r.e.silent >= sent + 5 * KIT_MS);
  /* It may have been there for long, behind what was read. */
  sent = kit_clock();
  send_all(&r, 2 * 4096);
  read_next(&r, 4096);
  read_next(&r, 4096);
  assert_true(r.e.silent > 0 && r.e.silent <= sent);
  /* At once behind what was read. */
  uint64_t seen;
  for (int i = 0; i < 2; i++) {
    seen = r.e.read_at;
    send_all(&r, 3);
    read_next(&r, 3);
    assert_true(r.e.silent >= seen);
  }
  /* What came after one has seen how much there is. */
  send_all(&r, 7 * 4096);
  read_next(&r, 2 * 4096);
  seen = r.e.read_at;
  read_next(&r, 4 * 4096);
  send_all(&r, 3);
  read_next(&r, 4096 + 3);
  assert_int_equal(r.e.silent, seen);
  /* It may have come while nobody read. */
  sent = kit_clock();
  io_socket_read(r.e.s, false);
  send_all(&r, 3);
  for (int i = 0; i < 3; i++) caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
  io_socket_read(r.e.s, true);
  read_next(&r, 3);
  assert_true(r.e.silent >= seen && r.e.silent <= sent);
  io_timer_finish(&timer);
  rig_stop(&r);
}

/* What a turn takes was all that there was. */
static void sees_that_nothing_is_left(void **state) {
  rig r;
  (void)state;
  rig_start(&r, tcp_pair);
  io_socket_read(r.e.s, true);
  send_all(&r, 4096);
  read_next(&r, 4096);
  assert_int_equal(io_socket_drained_at(r.e.s), r.e.read_at);
  rig_stop(&r);
}

/* Whoever stops to read may have kept some, and it is not known what comes meanwhile. */
static void a_pause_is_no_silence(void **state) {
  static const struct {
    size_t before, len, more;
  } cases[] = {{0, 3, 0}, {0, 4096, 0}, {0, 4096, 1}, {4096, 3, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    rig r;
    rig_start(&r, tcp_pair);
    io_socket_read(r.e.s, true);
    send_all(&r, cases[i].before + cases[i].len + cases[i].more);
    if (cases[i].before) read_next(&r, cases[i].before);
    r.e.pause_on_read = true;
    read_next(&r, cases[i].len);
    assert_int_equal(io_socket_drained_at(r.e.s), 0);
    rig_stop(&r);
  }
}

static void be_late(io_watch *w, int ready, bool broken) {
  (void)w, (void)ready, (void)broken;
  usleep(1000);
}

static void forget(io_watch *w) {
  (void)w;
}

/* The loop takes long to come back from its look at the descriptors, as when it has waited; but
 * what it reads was there before. */
static void being_late_is_no_wait(void **state) {
  rig r;
  io_timer timer;
  io_watch busy;
  int fds[2];
  (void)state;
  rig_start(&r, tcp_pair);
  assert_int_equal(pipe(fds), 0);
  assert_int_equal(write(fds[1], "x", 1), 1);
  assert_int_equal(io_watch_init(&busy, r.loop, fds[0], be_late), 0);
  io_watch_set(&busy, UV_READABLE);
  assert_int_equal(io_timer_init(&timer, r.loop, never), 0);
  io_timer_start(&timer, io_now(r.loop) + 60000 * KIT_MS);
  io_socket_read(r.e.s, true);
  for (int i = 0; i < 3; i++) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  send_all(&r, 3 * 4096);
  while (!r.e.reads) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  uint64_t seen = r.e.read_at;
  while (r.e.bytes < 3 * 4096) caw_loop_run(r.loop, CAW_LOOP_ONCE);
  assert_true(r.e.silent <= seen);
  io_timer_finish(&timer);
  io_watch_close(&busy, forget);
  rig_stop(&r);
  close(fds[0]);
  close(fds[1]);
}

/* --- writing ------------------------------------------------------------- */

static long write_text(io_socket *s, const char *text) {
  struct iovec part = {(void *)text, strlen(text)};
  return io_socket_write(s, &part, 1);
}

/* Everything arrives, in order, through a buffer far smaller than it. */
static void backpressure(void **state) {
  enum { LEN = 300000 };
  (void)state;
  EACH_KIND(k) {
    rig r;
    size_t sent = 0, got = 0;
    uint8_t *data = malloc(LEN), *copy = malloc(LEN);
    assert_true(data && copy);
    for (size_t i = 0; i < LEN; i++) data[i] = (uint8_t)(i * 7 + i / 256);
    rig_start(&r, k->pair);
    int waits = 0;
    while (got < LEN) {
      struct iovec parts[3] = {{data + sent, (LEN - sent) / 2}, {NULL, 0}, {NULL, 0}};
      parts[2] = (struct iovec){data + sent + parts[0].iov_len, LEN - sent - parts[0].iov_len};
      int writables = r.e.writables;
      long n = sent < LEN ? io_socket_write(r.e.s, parts, 3) : 0;
      assert_true(n >= 0);
      sent += (size_t)n;
      bool full = sent < LEN;
      if (full) {
        caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
        caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
        waits++;
      }
      ssize_t m;
      while ((m = recv(r.peer, copy + got, LEN - got, 0)) > 0) got += (size_t)m;
      if (full && r.e.writables == writables) kit_count(r.loop, &r.e.writables, writables + 1);
    }
    assert_int_equal(got, LEN);
    assert_memory_equal(data, copy, LEN);
    if (k->pair == local_pair) assert_true(waits > 1);
    int told = r.e.writables;
    assert_true(idle_turns(&r) < 6);
    assert_int_equal(r.e.writables, told); /* nothing is waited for any more */
    free(data);
    free(copy);
    rig_stop(&r);
  }
}

static void odd_writes(void **state) {
  struct iovec many[1500];
  char x[] = "x";
  char got[2000];
  rig r;
  (void)state;
  rig_start(&r, tcp_pair);
  assert_int_equal(io_socket_write(r.e.s, many, 0), 0);
  assert_int_equal(write_text(r.e.s, ""), 0);
  assert_int_equal(write_text(r.e.s, "abc"), 3);
  /* More parts than the kernel takes at once: a short write, not an error. */
  for (int i = 0; i < 1500; i++) many[i] = (struct iovec){x, 1};
  assert_int_equal(io_socket_write(r.e.s, many, 1500), 1024);
  until_count(&r, &r.e.writables);
  assert_int_equal(io_socket_write(r.e.s, many + 1024, 476), 476);
  assert_int_equal(recv(r.peer, got, sizeof(got), MSG_WAITALL), 1503);
  rig_stop(&r);
}

/* Neither SIGPIPE nor success: the writer learns that nobody is there. */
static void write_to_nobody(void **state) {
  (void)state;
  EACH_KIND(k) {
    rig r;
    long n = 0;
    rig_start(&r, k->pair);
    reset_peer(&r);
    for (int i = 0; i < 100 && n >= 0; i++) n = write_text(r.e.s, "abc");
    assert_int_equal(n, CAW_ECONN);
    assert_true(io_socket_errno(r.e.s) == EPIPE || io_socket_errno(r.e.s) == ECONNRESET);
    io_socket_read(r.e.s, true);
    until_count(&r, &r.e.ends);
    kit_while(r.loop, 5);
    assert_int_equal(r.e.ends, 1);
    rig_stop(&r);
  }
}

/* A writer that waits hears of the reset. */
static void reset_while_full(void **state) {
  static uint8_t chunk[1 << 16];
  struct iovec part = {chunk, sizeof(chunk)};
  (void)state;
  EACH_KIND(k) {
    for (int reading = 0; reading < 2; reading++) {
      rig r;
      rig_start(&r, k->pair);
      io_socket_read(r.e.s, reading);
      while (io_socket_write(r.e.s, &part, 1) == sizeof(chunk)) {
      }
      kit_while(r.loop, 2);
      r.e.writables = 0;
      reset_peer(&r);
      until_count(&r, &r.e.writables);
      long n = io_socket_write(r.e.s, &part, 1);
      assert_int_equal(n, CAW_ECONN);
      kit_while(r.loop, 5);
      assert_in_range(r.e.ends, reading, 1);
      assert_true(idle_turns(&r) < 8);
      rig_stop(&r);
    }
  }
}

/* --- ends ---------------------------------------------------------------- */

/* The peer stops sending: what it sent is read, then the end; and it can still
 * be written to. */
static void half_close(void **state) {
  (void)state;
  EACH_KIND(k) {
    rig r;
    char got[8] = "";
    rig_start(&r, k->pair);
    assert_int_equal(send(r.peer, "abc", 3, 0), 3);
    shutdown(r.peer, SHUT_WR);
    kit_while(r.loop, 5);
    assert_int_equal(r.e.ends, 0); /* not before its bytes were read */
    assert_true(idle_turns(&r) < 8);
    io_socket_read(r.e.s, true);
    until_count(&r, &r.e.ends);
    assert_int_equal(r.e.bytes, 3);
    assert_int_equal(r.e.end_rc, CAW_EEND);
    assert_int_equal(write_text(r.e.s, "answer"), 6);
    assert_int_equal(recv(r.peer, got, sizeof(got), 0), 6);
    assert_true(idle_turns(&r) < 6);
    assert_int_equal(r.e.ends, 1);
    rig_stop(&r);
  }
}

static void peer_closes(void **state) {
  (void)state;
  EACH_KIND(k) {
    rig r;
    rig_start(&r, k->pair);
    assert_int_equal(send(r.peer, "abc", 3, 0), 3);
    close(r.peer);
    r.peer = -1;
    assert_true(idle_turns(&r) < 8); /* paused: neither an end nor a storm */
    assert_int_equal(r.e.ends, 0);
    io_socket_read(r.e.s, true);
    until_count(&r, &r.e.ends);
    assert_int_equal(r.e.bytes, 3);
    assert_int_equal(r.e.end_rc, CAW_EEND);
    rig_stop(&r);
  }
}

static void reset_while_reading(void **state) {
  rig r;
  (void)state;
  rig_start(&r, tcp_pair);
  io_socket_read(r.e.s, true);
  kit_while(r.loop, 2);
  reset_peer(&r);
  until_count(&r, &r.e.ends);
  assert_int_equal(r.e.end_rc, CAW_ECONN);
  assert_int_equal(io_socket_errno(r.e.s), ECONNRESET);
  assert_true(idle_turns(&r) < 6);
  assert_int_equal(r.e.ends, 1);
  rig_stop(&r);
}

static void reset_while_paused(void **state) {
  (void)state;
  for (int fin_first = 0; fin_first < 2; fin_first++) {
    rig r;
    rig_start(&r, tcp_pair);
    kit_while(r.loop, 2);
    if (fin_first) {
      shutdown(r.peer, SHUT_WR);
      kit_while(r.loop, 5);
      assert_int_equal(r.e.ends, 0);
    }
    reset_peer(&r);
    until_count(&r, &r.e.ends);
    assert_int_equal(r.e.end_rc, CAW_ECONN);
    assert_true(idle_turns(&r) < 6);
    assert_int_equal(r.e.ends, 1);
    rig_stop(&r);
  }
}

/* The reset of a Unix socket: the peer closes with unread bytes. */
static void unread_bytes_reset(void **state) {
  rig r;
  (void)state;
  rig_start(&r, local_pair);
  kit_while(r.loop, 2);
  assert_int_equal(write_text(r.e.s, "never read"), 10);
  close(r.peer);
  r.peer = -1;
  kit_while(r.loop, 10);
  io_socket_read(r.e.s, true);
  kit_while(r.loop, 10);
  assert_int_equal(r.e.ends, 1);
  assert_true(r.e.end_rc == CAW_ECONN || r.e.end_rc == CAW_EEND);
  assert_true(idle_turns(&r) < 6);
  rig_stop(&r);
}

/* --- closing ------------------------------------------------------------- */

static void close_inside_callbacks(void **state) {
  static uint8_t chunk[1 << 20];
  struct iovec part = {chunk, sizeof(chunk)};
  (void)state;
  EACH_KIND(k) {
    for (int which = 0; which < 4; which++) {
      rig r;
      rig_start(&r, k->pair);
      r.e.close_on_read = which == 0;
      r.e.close_on_end = which == 1 || which == 3;
      r.e.close_on_writable = which == 2;
      io_socket_read(r.e.s, true);
      if (which == 2) {
        while (io_socket_write(r.e.s, &part, 1) == sizeof(chunk)) {
        }
        kit_while(r.loop, 2);
        while (recv(r.peer, chunk, sizeof(chunk), 0) > 0) {
        }
      } else if (which == 0) {
        assert_true(send(r.peer, chunk, sizeof(chunk), 0) > 0);
      } else if (which == 1) {
        shutdown(r.peer, SHUT_WR);
      } else {
        reset_peer(&r);
      }
      for (int i = 0; i < 1000 && r.e.s; i++) {
        if (which == 2)
          while (recv(r.peer, chunk, sizeof(chunk), 0) > 0) {
          }
        caw_loop_run(r.loop, CAW_LOOP_NOWAIT);
      }
      assert_null(r.e.s);
      kit_while(r.loop, 2);
      assert_true(r.e.reads <= 1 && r.e.ends <= 1 && r.e.writables <= 1);
      rig_stop(&r);
    }
  }
}

/* Two sockets with news in the same turn; the first one's callback closes the
 * second. */
static io_socket *victim;
static int victims;

static void kill_victim(void *user, const uint8_t *data, size_t len) {
  (void)user;
  (void)data;
  (void)len;
  victims++;
  io_socket_close(victim);
  victim = NULL;
}

static void close_another(void **state) {
  static const io_socket_events killer = {on_connect, kill_victim, on_end, on_writable};
  caw_loop *loop = kit_loop();
  io_socket *s[2];
  int a[2], b[2];
  (void)state;
  local_pair(a);
  local_pair(b);
  assert_int_equal(io_socket_adopt(&s[0], loop, a[0], &killer, NULL), 0);
  assert_int_equal(io_socket_adopt(&s[1], loop, b[0], &killer, NULL), 0);
  io_socket_read(s[0], true);
  io_socket_read(s[1], true);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  /* Whichever comes first must be the last. */
  assert_int_equal(send(a[1], "x", 1, 0), 1);
  victim = s[1];
  assert_int_equal(send(b[1], "x", 1, 0), 1);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  if (victims == 2) fail_msg("the closed socket was called");
  assert_int_equal(victims, 1);
  io_socket_close(s[0]);
  io_socket_close(NULL);
  caw_loop_free(loop);
  close(a[1]);
  close(b[1]);
}

/* The descriptor is free at once, also for another socket of the loop. */
static void descriptor_is_reused(void **state) {
  (void)state;
  int before = kit_descriptors();
  caw_loop *loop = kit_loop();
  int with_loop = kit_descriptors();
  for (int i = 0; i < 50; i++) {
    end e = {0};
    int fds[2];
    local_pair(fds);
    assert_int_equal(io_socket_adopt(&e.s, loop, fds[0], &events, &e), 0);
    io_socket_read(e.s, true);
    assert_int_equal(send(fds[1], "x", 1, 0), 1);
    if (i % 3) caw_loop_run(loop, CAW_LOOP_NOWAIT);
    if (i % 3 == 2) caw_loop_run(loop, CAW_LOOP_NOWAIT);
    io_socket_close(e.s);
    close(fds[1]);
    assert_int_equal(kit_descriptors(), with_loop);
    assert_int_equal(e.bytes, i % 3 ? 1 : 0);
  }
  caw_loop_free(loop);
  assert_in_range(kit_descriptors(), before, before + 2);
}

/* --- connecting ---------------------------------------------------------- */

static void connects(void **state) {
  caw_loop *loop = kit_loop();
  io_address a;
  end e = {0};
  char text[IO_ADDRESS_TEXT];
  int one = 0;
  socklen_t len = sizeof(one);
  (void)state;
  int l = listening(&a), threads = kit_threads();
  assert_int_equal(io_socket_connect(&e.s, loop, &a, &events, &e), 0);
  assert_int_equal(e.connects, 0);
  kit_count(loop, &e.connects, 1);
  assert_int_equal(e.connect_rc, 0);
  io_address_format(text, &a);
  assert_true(caw_str_is(io_socket_peer(e.s), text));
  int fd = accept(l, NULL, NULL);
  io_address mine = {.len = sizeof(mine.u)};
  assert_int_equal(getpeername(fd, &mine.u.any, &mine.len), 0);
  io_address_format(text, &mine);
  assert_true(caw_str_is(io_socket_local(e.s), text));
  assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, &len), 0);
  assert_int_equal(write_text(e.s, "hello"), 5);
  assert_int_equal(recv(fd, text, sizeof(text), 0), 5);
  assert_int_equal(kit_threads(), threads);
  io_socket_close(e.s);
  close(fd);
  close(l);
  caw_loop_free(loop);
}

/* Connects to `a` and expects on_connect with `rc`, once. */
static void refused(const io_address *a, int rc) {
  caw_loop *loop = kit_loop();
  for (int close_inside = 0; close_inside < 2; close_inside++) {
    end e = {.close_on_connect = close_inside};
    assert_int_equal(io_socket_connect(&e.s, loop, a, &events, &e), 0);
    kit_count(loop, &e.connects, 1);
    kit_while(loop, 3);
    assert_int_equal(e.connects, 1);
    assert_int_equal(e.connect_rc, rc);
    if (!close_inside) assert_true(io_socket_errno(e.s) > 0);
    if (!close_inside) assert_int_equal(write_text(e.s, "x"), CAW_ESTATE);
    io_socket_close(e.s);
    assert_int_equal(e.ends + e.reads + e.writables, 0);
  }
  caw_loop_free(loop);
}

static io_address local_address(const char *target) {
  io_target t;
  const char *why;
  assert_int_equal(io_target_parse(&t, caw_str_from(target), true, &why), 0);
  return t.addresses[0];
}

static void refusals(void **state) {
  io_address a;
  (void)state;
  int fd = bound(&a);
  refused(&a, CAW_ECONN);
  close(fd);
  a = local_address("unix:/nonexistent/socket");
  refused(&a, CAW_ECONN);
  a = local_address("unix-abstract:caw-nobody-is-here");
  refused(&a, CAW_ECONN);
}

/* A Unix socket whose queue is full refuses at once, with EAGAIN. */
static void full_backlog(void **state) {
  io_address a = local_address("unix-abstract:caw-test-full-backlog");
  (void)state;
  int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[4], n = 0;
  assert_int_equal(bind(l, &a.u.any, a.len), 0);
  assert_int_equal(listen(l, 0), 0);
  for (; n < 4; n++) {
    waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(waiting[n], &a.u.any, a.len)) break;
  }
  assert_in_range(n, 0, 3);
  refused(&a, CAW_ECONN);
  for (; n >= 0; n--) close(waiting[n]);
  close(l);
}

static void out_of_descriptors(void **state) {
  struct rlimit old, tight;
  io_address a;
  end e = {0};
  (void)state;
  int l = listening(&a);
  caw_loop *loop = kit_loop();
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  tight = old;
  tight.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  int rc = io_socket_connect(&e.s, loop, &a, &events, &e);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
  assert_int_equal(rc, CAW_ELIMIT);
  close(l);
  caw_loop_free(loop);
}

/* TCP lets a socket connect to itself when it was given the port that it asks
 * for. The kernel chooses the port, stepping through the even ones of its range
 * (14,116 by default), some of which it skips: so many tries meet it often, not
 * always. */
static void not_to_itself(void **state) {
  io_address a = io_address_ip("\x7f\0\0\1", 4, 0);
  uint16_t port = 40000;
  (void)state;
  for (;; port += 2) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    io_address_set_port(&a, port);
    bool bound = bind(fd, &a.u.any, a.len) == 0;
    close(fd);
    if (bound) break;
  }
  caw_loop *loop = kit_loop();
  for (int i = 0; i < 15000; i++) {
    end e = {0};
    assert_int_equal(io_socket_connect(&e.s, loop, &a, &events, &e), 0);
    while (!e.connects) caw_loop_run(loop, CAW_LOOP_ONCE);
    assert_int_equal(e.connect_rc, CAW_ECONN);
    io_socket_close(e.s);
  }
  caw_loop_free(loop);
}

static void close_while_connecting(void **state) {
  caw_loop *loop = kit_loop();
  io_address a;
  (void)state;
  int l = listening(&a);
  io_address none = local_address("unix:/nonexistent/socket");
  for (int i = 0; i < 4; i++) {
    end e = {0};
    assert_int_equal(io_socket_connect(&e.s, loop, i % 2 ? &a : &none, &events, &e), 0);
    io_socket_close(e.s);
    kit_while(loop, 2);
    assert_int_equal(e.connects, 0);
  }
  close(l);
  caw_loop_free(loop);
}

/* --- trouble ------------------------------------------------------------- */

static void names_of_a_pair(void **state) {
  rig r;
  (void)state;
  rig_start(&r, local_pair);
  assert_true(caw_str_is(io_socket_peer(r.e.s), "unix:"));
  assert_true(caw_str_is(io_socket_local(r.e.s), "unix:"));
  assert_int_equal(io_socket_errno(r.e.s), 0);
  rig_stop(&r);
}

/* Whoever may connect to a Unix socket chooses his own name; it goes into logs and messages. */
static void a_name_is_a_text(void **state) {
  static const char *const cases[][2] = {{"\xc3\xa9", "\xc3\xa9"},
                                         {"a\xff\n[31m\x1b", "a??[31m?"},
                                         {"\xc3", "?"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char folder[] = "/tmp/caw-socket-XXXXXX", want[120];
    struct sockaddr_un at = {.sun_family = AF_UNIX}, me = at;
    caw_loop *loop = kit_loop();
    io_socket *s;
    end e = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(at.sun_path, sizeof(at.sun_path), "%s/l", folder);
    snprintf(me.sun_path, sizeof(me.sun_path), "%s/%s", folder, cases[i][0]);
    snprintf(want, sizeof(want), "unix:%s/%s", folder, cases[i][1]);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(l, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(l, 1), 0);
    assert_int_equal(bind(c, (struct sockaddr *)&me, sizeof(me)), 0);
    assert_int_equal(connect(c, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(io_socket_adopt(&s, loop, accept(l, NULL, NULL), &events, &e), 0);
    if (!caw_str_is(io_socket_peer(s), want))
      fail_msg("%.*s, not %s", CAW_STR_ARG(io_socket_peer(s)), want);
    io_socket_close(s);
    caw_loop_free(loop);
    close(c);
    close(l);
    unlink(at.sun_path);
    unlink(me.sun_path);
    rmdir(folder);
  }
}

static void not_a_socket(void **state) {
  caw_loop *loop = kit_loop();
  io_socket *s = NULL;
  (void)state;
  int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  assert_int_equal(io_socket_adopt(&s, loop, fd, &events, NULL), CAW_ESYS);
  assert_int_equal(close(fd), 0); /* it stayed ours */
  caw_loop_free(loop);
}

static void out_of_memory(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    caw_loop *loop = kit_loop();
    io_address a;
    end e = {0}, f = {0};
    int l = listening(&a), fds[2], before = kit_descriptors();
    local_pair(fds);
    kit_while(loop, 0); /* the room for its timer stays with the loop */
    kit_allocator(n);
    int rc = io_socket_connect(&e.s, loop, &a, &events, &e);
    int rc2 = io_socket_adopt(&f.s, loop, fds[0], &events, &f);
    bool refusal = kit_refused();
    assert_int_equal(rc ? rc : rc2, refusal ? CAW_ENOMEM : 0);
    if (rc2) close(fds[0]);
    io_socket_close(e.s);
    io_socket_close(f.s);
    close(fds[1]);
    for (int i = 0; i < 3; i++) caw_loop_run(loop, CAW_LOOP_NOWAIT); /* frees them */
    assert_int_equal(kit_descriptors(), before);
    kit_allocator_done();
    caw_loop_free(loop);
    close(l);
    if (!refusal) break;
    assert_in_range(n, 1, 10);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(time_is_not_before_the_bytes),
      cmocka_unit_test(reads_when_told),
      cmocka_unit_test(pause_inside_read),
      cmocka_unit_test(reads_are_fair),
      cmocka_unit_test(knows_the_silence),
      cmocka_unit_test(sees_that_nothing_is_left),
      cmocka_unit_test(a_pause_is_no_silence),
      cmocka_unit_test(being_late_is_no_wait),
      cmocka_unit_test(backpressure),
      cmocka_unit_test(odd_writes),
      cmocka_unit_test(write_to_nobody),
      cmocka_unit_test(reset_while_full),
      cmocka_unit_test(half_close),
      cmocka_unit_test(peer_closes),
      cmocka_unit_test(reset_while_reading),
      cmocka_unit_test(reset_while_paused),
      cmocka_unit_test(unread_bytes_reset),
      cmocka_unit_test(close_inside_callbacks),
      cmocka_unit_test(close_another),
      cmocka_unit_test(descriptor_is_reused),
      cmocka_unit_test(connects),
      cmocka_unit_test(refusals),
      cmocka_unit_test(full_backlog),
      cmocka_unit_test(out_of_descriptors),
      cmocka_unit_test(not_to_itself),
      cmocka_unit_test(close_while_connecting),
      cmocka_unit_test(names_of_a_pair),
      cmocka_unit_test(a_name_is_a_text),
      cmocka_unit_test(not_a_socket),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
