/* caw_server: options, methods, listening, running and draining. */
#include "server/server.h"

#include "base/trace.h"
#include "stats/channelz.h"

#include "io/sys.h"

#include <caw/alloc.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define MAX_LOOPS 64
#define MAX_POOL  1024

/* ---- Making and freeing ---- */

static int read_options(caw_server_options *to, const caw_server_options *from) {
  if (from) {
    /* A program that was compiled against an older header has a shorter struct. */
    if (from->size < offsetof(caw_server_options, loop)) return CAW_EINVAL;
    memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
  }
  if (to->loops > MAX_LOOPS || to->pool_threads > MAX_POOL) return CAW_EINVAL;
  if (!caw_encoding_supported(to->encoding)) return CAW_EINVAL;
  if (to->limits && to->limits->size < sizeof(to->limits->size)) return CAW_EINVAL;
  if (!to->loops || to->loop) to->loops = 1;
  if (!to->pool_threads) to->pool_threads = 8;
  if (!to->pool_queue) to->pool_queue = 1000;
  if (!to->max_streams) to->max_streams = 100;
  if (!to->max_receive) to->max_receive = (size_t)4 * 1024 * 1024;
  if (!to->send_buffer) to->send_buffer = (size_t)64 * 1024;
  return 0;
}

static int make_workers(caw_server *s) {
  s->workers = caw_calloc(s->options.loops, sizeof(*s->workers));
  if (!s->workers) return CAW_ENOMEM;
  for (; s->n_workers < s->options.loops; s->n_workers++) {
    caw_loop *loop = s->options.loop;
    int rc = loop ? 0 : caw_loop_new(&loop);
    if (rc) return rc;
    rc = worker_init(&s->workers[s->n_workers], s, loop);
    if (rc) {
      if (s->own_loops) caw_loop_free(loop);
      s->workers[s->n_workers].loop = NULL;
      return rc;
    }
  }
  return 0;
}

int caw_server_new(caw_server **out, const caw_server_options *options) {
  caw_server *s = caw_calloc(1, sizeof(*s));
  if (!s) return CAW_ENOMEM;
  pthread_mutex_init(&s->lock, NULL);
  s->drain_at = UINT64_MAX;
  int rc = read_options(&s->options, options);
  s->own_loops = !s->options.loop;
  s->config.h2.max_streams = s->options.max_streams;
  server_set_care(s);
  if (!rc && s->options.channelz) server_show(s);
  if (!rc) rc = make_workers(s);
  if (rc) {
    caw_server_free(s);
    return rc;
  }
  *out = s;
  return 0;
}

/* Calls whose handlers have not finished: what they hold is left to them rather
 * than freed under their feet. */
static bool orphans(const caw_server *s) {
  for (unsigned i = 0; i < s->n_workers; i++)
    if (!list_empty(&s->workers[i].calls)) return true;
  return false;
}

static void free_struct(caw_server *s) {
  pthread_mutex_destroy(&s->lock);
  caw_free(s->workers);
  caw_free(s);
}

/* Calls whose streams are gone: on_cancel, and on_done for those that their
 * handlers have finished, also on threads that have ended by now. */
static void take_last_turns(caw_server *s) {
  for (unsigned i = 0; i < s->n_workers; i++) {
    io_loop_run_posts(s->workers[i].loop);
    server_calls_last_turn(&s->workers[i]);
  }
}

static void end_workers(caw_server *s) {
  for (unsigned i = 0; i < s->n_workers; i++) {
    /* The loop of another thread, which is joined by now, becomes this one's. */
    if (s->own_loops) io_loop_adopt(s->workers[i].loop);
    worker_finish(&s->workers[i]);
  }
  take_last_turns(s);
}

/* Is a post of the server's on its way to its first loop? */
static bool awaited(caw_server *s) {
  pthread_mutex_lock(&s->lock);
  bool news = s->drain_asked || s->drained_news;
  pthread_mutex_unlock(&s->lock);
  return news || s->begin_posted;
}

/* Such a post has found the server freed; on the program's loop the last has the rest. */
static void free_behind(caw_server *s) {
  if (!s->own_loops && !awaited(s)) free_struct(s);
}

/* The memory, when no call is left. */
static void free_parts(caw_server *s) {
  s->freed = true;
  for (unsigned i = 0; i < s->n_workers; i++) {
    server_stats_close(&s->workers[i]);
    if (s->own_loops) caw_loop_free(s->workers[i].loop);
  }
  server_run_free_hooks(s);
  server_blocking_free(s);
  server_free_drain_hooks(s);
  for (method_entry *e = s->entries, *next; e; e = next) {
    next = e->next;
    caw_free(e);
  }
  chain_list_unref(s->interceptors);
  map_finish(&s->methods);
  caw_free(s->services);
  server_free_entrances(s);
  channelz_close(s->channelz);
  handover_free(s);
  /* A post that is still on its way to the program's loop frees the rest. */
  if (s->own_loops || !awaited(s)) free_struct(s);
}

void caw_server_free(caw_server *s) {
  if (!s) return;
  s->ending = true;
  if (s->own_loops && s->n_workers) io_loop_adopt(s->workers[0].loop);
  if (s->n_workers) server_forget_signals(s);
  server_unlisten(s);
  handover_close(s);
  end_workers(s);
  io_pool_free(s->pool); /* its handlers have been told by now */
  s->pool = NULL;
  take_last_turns(s);
  if (!orphans(s)) {
    free_parts(s);
    return;
  }
  /* On the program's loop the last of them frees the server when it finishes.
   * What the program gave for its log may be gone by then. */
  s->orphaned = !s->own_loops;
  s->options.on_call = NULL;
}

void server_call_gone(caw_server *s) {
  if (s->orphaned && !orphans(s)) free_parts(s);
}

/* ---- Methods ---- */

static int check_handler(const caw_handler *h) {
  if (!h->method || !h->method->path || !h->message) return CAW_EINVAL;
  bool many = h->method->kind == CAW_CLIENT_STREAM || h->method->kind == CAW_BIDI;
  return many && !h->end ? CAW_EINVAL : 0;
}

static int check_entries(const caw_server *s, const method_entry *entries, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int rc = check_handler(entries[i].handler);
    if (rc) return rc;
    const char *path = entries[i].handler->method->path;
    if (map_get(&s->methods, caw_str_from(path))) return CAW_EEXIST;
    for (size_t j = 0; j < i; j++)
      if (!strcmp(path, entries[j].handler->method->path)) return CAW_EEXIST;
  }
  return 0;
}

method_entry *server_new_entries(size_t n) {
  return caw_calloc(n ? n : 1, sizeof(method_entry));
}

int server_add_entries(caw_server *s, method_entry *entries, size_t n) {
  int rc = check_entries(s, entries, n);
  if (!rc) rc = map_reserve(&s->methods, n);
  for (size_t i = 0; i < n && !rc; i++)
    rc = server_note_service(s, entries[i].handler->method->path);
  if (rc) {
    caw_free(entries);
    return rc;
  }
  entries[0].next = s->entries;
  s->entries = entries;
  /* Room was reserved: none of these fails. */
  for (size_t i = 0; i < n; i++) {
    entries[i].number = ++s->n_methods;
    map_add(&s->methods, caw_str_from(entries[i].handler->method->path), &entries[i]);
  }
  return 0;
}

int caw_server_add(caw_server *s, const caw_handler *handlers, size_t n, const void *impl,
                   void *self) {
  if (s->started) return CAW_ESTATE;
  method_entry *entries = server_new_entries(n);
  if (!entries) return CAW_ENOMEM;
  for (size_t i = 0; i < n; i++) {
    entries[i].handler = &handlers[i];
    entries[i].impl = impl;
    entries[i].self = self;
  }
  return server_add_entries(s, entries, n);
}

caw_loop *caw_server_loop(const caw_server *s) {
  return s->workers[0].loop;
}

/* ---- Beginning ---- */

static void begin(io_post *post) {
  caw_server *s = LIST_ENTRY(post, caw_server, begin_post);
  s->begin_posted = false;
  if (s->freed) {
    free_behind(s);
    return;
  }
  pthread_mutex_lock(&s->lock);
  bool ends = s->drain_asked || s->draining || s->ending;
  pthread_mutex_unlock(&s->lock);
  if (ends) return; /* whoever serves now goes on */
  handover_begin(s);
  systemd_begin(s);
}

void server_begin_later(caw_server *s) {
  if (s->begin_posted) return;
  s->begin_posted = true;
  io_loop_post(s->workers[0].loop, &s->begin_post, begin);
}

/* ---- Draining ---- */

static void all_drained(caw_server *s) {
  pthread_mutex_lock(&s->lock);
  void (*fn)(void *) = s->on_drained;
  void *user = s->drain_user;
  s->on_drained = NULL;
  pthread_mutex_unlock(&s->lock);
  TRACE(SERVER, "server %p is drained", (void *)s);
  for (unsigned i = 0; i < s->n_workers; i++)
    if (s->own_loops) caw_loop_stop(s->workers[i].loop);
  if (fn) fn(user); /* may free the server */
}

static void on_worker_drained(io_post *post) {
  worker *w = LIST_ENTRY(post, worker, drained_post);
  caw_server *s = w->server;
  pthread_mutex_lock(&s->lock);
  s->drained_news--;
  pthread_mutex_unlock(&s->lock);
  if (s->freed) free_behind(s);
  else if (--s->left == 0 && !s->ending) all_drained(s);
}

void server_worker_drained(worker *w, int rc) {
  if (rc) w->result = rc;
  pthread_mutex_lock(&w->server->lock);
  w->server->drained_news++;
  pthread_mutex_unlock(&w->server->lock);
  io_loop_post(w->server->workers[0].loop, &w->drained_post, on_worker_drained);
}

static uint64_t drain_time(caw_server *s) {
  pthread_mutex_lock(&s->lock);
  uint64_t at = s->drain_at;
  pthread_mutex_unlock(&s->lock);
  return at;
}

static void drain_worker(io_post *post) {
  worker *w = LIST_ENTRY(post, worker, drain_post);
  pthread_mutex_lock(&w->server->lock);
  w->drain_asked = false;
  pthread_mutex_unlock(&w->server->lock);
  if (!w->server->ending) worker_drain(w, drain_time(w->server));
}

static void drain(io_post *post) {
  caw_server *s = LIST_ENTRY(post, caw_server, drain_post);
  pthread_mutex_lock(&s->lock);
  s->drain_asked = false;
  pthread_mutex_unlock(&s->lock);
  if (s->freed) {
    free_behind(s);
    return;
  }
  if (s->ending) return;
  if (!s->draining) {
    s->draining = true;
    TRACE(SERVER, "server %p drains", (void *)s);
    s->left = s->n_workers;
    server_unlisten(s);
    handover_close(s);
    server_tell_drain(s);
  }
  if (s->left == 0) { /* asked again afterwards */
    all_drained(s);
    return;
  }
  if (s->n_workers == 1) {
    worker_drain(&s->workers[0], drain_time(s));
    return;
  }
  for (unsigned i = 0; i < s->n_workers; i++) {
    worker *w = &s->workers[i];
    pthread_mutex_lock(&s->lock);
    bool asked = w->drain_asked;
    w->drain_asked = true;
    pthread_mutex_unlock(&s->lock);
    if (!asked) io_loop_post(w->loop, &w->drain_post, drain_worker);
  }
}

void caw_server_drain(caw_server *s, uint64_t grace_ms, void (*on_drained)(void *user),
                      void *user) {
  uint64_t now = io_sys_clock();
  uint64_t at = grace_ms > (UINT64_MAX - now) / 1000000 ? UINT64_MAX : now + grace_ms * 1000000;
  pthread_mutex_lock(&s->lock);
  if (at < s->drain_at) s->drain_at = at;
  if (on_drained) {
    s->on_drained = on_drained;
    s->drain_user = user;
  }
  bool asked = s->drain_asked;
  s->drain_asked = true;
  pthread_mutex_unlock(&s->lock);
  if (!asked) io_loop_post(s->workers[0].loop, &s->drain_post, drain);
}

/* ---- Running ---- */

static void *run_worker(void *arg) {
  worker *w = arg;
  io_loop_adopt(w->loop);
  io_loop_hold(w->loop);
  caw_loop_run(w->loop, CAW_LOOP_DEFAULT);
  io_loop_release(w->loop);
  return NULL;
}

/* Starts the other loops, with every signal left to the calling thread. */
static int start_threads(caw_server *s) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = 0;
  for (unsigned i = 1; i < s->n_workers && !rc; i++) {
    worker *w = &s->workers[i];
    w->threaded = pthread_create(&w->thread, NULL, run_worker, w) == 0;
    if (!w->threaded) rc = CAW_ELIMIT;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return rc;
}

static void join_threads(caw_server *s) {
  for (unsigned i = 1; i < s->n_workers; i++) {
    worker *w = &s->workers[i];
    if (!w->threaded) continue;
    caw_loop_stop(w->loop);
    pthread_join(w->thread, NULL);
    w->threaded = false;
  }
}

int caw_server_run(caw_server *s) {
  if (!s->own_loops || s->started) return CAW_ESTATE;
  s->started = true;
  io_loop_adopt(s->workers[0].loop);
  io_loop_hold(s->workers[0].loop);
  int rc = start_threads(s);
  if (!rc) caw_loop_run(s->workers[0].loop, CAW_LOOP_DEFAULT);
  io_loop_release(s->workers[0].loop);
  join_threads(s);
  for (unsigned i = 0; i < s->n_workers && !rc; i++) rc = s->workers[i].result;
  return rc;
}
