/* caw_server: options, methods, listening, running and draining. */
#include "server/server.h"

#include "io/resolver.h"
#include "io/sys.h"

#include <caw/alloc.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define MAX_LOOPS     64
#define MAX_POOL      1024
#define READY_TIMEOUT (10 * UINT64_C(1000000000)) /* until the client's SETTINGS */

/* ---- Making and freeing ---- */

static int read_options(caw_server_options *to, const caw_server_options *from) {
  if (from) {
    /* A program that was compiled against an older header has a shorter struct. */
    if (from->size < offsetof(caw_server_options, loop)) return CAW_EINVAL;
    memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
  }
  if (to->loops > MAX_LOOPS || to->pool_threads > MAX_POOL) return CAW_EINVAL;
  if (!caw_encoding_supported(to->encoding)) return CAW_EINVAL;
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
  s->config.ready_timeout = READY_TIMEOUT;
  if (!rc) rc = make_workers(s);
  if (rc) {
    caw_server_free(s);
    return rc;
  }
  *out = s;
  return 0;
}

/* The i-th address will not be used any more, or never was. */
static void free_spot(caw_server *s, size_t i) {
  caw_server_credentials_unref(s->entrances[i]->tls);
  caw_free(s->entrances[i]);
  caw_free(s->addresses[i]);
}

static void close_listeners(caw_server *s) {
  for (size_t i = 0; i < s->n_listeners; i++) {
    if (s->listeners[i]) io_loop_release(s->workers[0].loop);
    io_listener_close(s->listeners[i]);
    s->listeners[i] = NULL;
  }
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

/* The memory, when no call is left. */
static void free_parts(caw_server *s) {
  s->freed = true;
  pthread_mutex_lock(&s->lock);
  bool asked = s->drain_asked;
  pthread_mutex_unlock(&s->lock);
  for (unsigned i = 0; i < s->n_workers; i++)
    if (s->own_loops) caw_loop_free(s->workers[i].loop);
  server_blocking_free(s);
  server_free_drain_hooks(s);
  for (method_entry *e = s->entries, *next; e; e = next) {
    next = e->next;
    caw_free(e);
  }
  map_finish(&s->methods);
  caw_free(s->listeners);
  for (size_t i = 0; i < s->n_listeners; i++) free_spot(s, i);
  caw_free(s->addresses);
  caw_free(s->entrances);
  /* A drain that is still on its way to the program's loop frees the rest. */
  if (s->own_loops || !asked) free_struct(s);
}

void caw_server_free(caw_server *s) {
  if (!s) return;
  s->ending = true;
  if (s->own_loops && s->n_workers) io_loop_adopt(s->workers[0].loop);
  close_listeners(s);
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
  if (rc) {
    caw_free(entries);
    return rc;
  }
  entries[0].next = s->entries;
  s->entries = entries;
  /* Room was reserved: none of these fails. */
  for (size_t i = 0; i < n; i++)
    map_add(&s->methods, caw_str_from(entries[i].handler->method->path), &entries[i]);
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

/* ---- Listening ---- */

CAW_PRINTF(3, 4)
static int fail(caw_server *s, int rc, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(s->error, sizeof(s->error), format, args);
  va_end(args);
  return rc;
}

/* A connection on its way to another loop. */
typedef struct arrival {
  io_post post;
  worker *worker;
  caw_server_credentials *tls; /* the entrance's, which lives as long as the server */
  int fd;
} arrival;

static void arrive(io_post *post) {
  arrival *a = (arrival *)(void *)post;
  worker_accept(a->worker, a->fd, a->tls);
  caw_free(a);
}

/* gRPC has few and long connections: each goes to the loop with the fewest. */
static void on_accept(void *user, int fd) {
  const entrance *door = user;
  caw_server *s = door->server;
  worker *least = &s->workers[0];
  for (unsigned i = 1; i < s->n_workers; i++)
    if (atomic_load(&s->workers[i].load) < atomic_load(&least->load)) least = &s->workers[i];
  atomic_fetch_add(&least->load, 1);
  if (least == &s->workers[0]) {
    worker_accept(least, fd, door->tls);
    return;
  }
  arrival *a = caw_malloc(sizeof(*a));
  if (!a) {
    close(fd);
    atomic_fetch_sub(&least->load, 1);
    return;
  }
  a->worker = least;
  a->tls = door->tls;
  a->fd = fd;
  io_loop_post(least->loop, &a->post, arrive);
}

static int grow_listeners(caw_server *s) {
  size_t n = s->n_listeners + 1;
  io_listener **listeners = caw_realloc(s->listeners, n * sizeof(*listeners));
  if (!listeners) return CAW_ENOMEM;
  s->listeners = listeners;
  char **addresses = caw_realloc(s->addresses, n * sizeof(*addresses));
  if (!addresses) return CAW_ENOMEM;
  s->addresses = addresses;
  entrance **entrances = caw_realloc(s->entrances, n * sizeof(*entrances));
  if (!entrances) return CAW_ENOMEM;
  s->entrances = entrances;
  s->addresses[n - 1] = caw_malloc(IO_ADDRESS_TEXT);
  s->entrances[n - 1] = caw_calloc(1, sizeof(**entrances));
  if (s->addresses[n - 1] && s->entrances[n - 1]) return 0;
  caw_free(s->addresses[n - 1]);
  caw_free(s->entrances[n - 1]);
  return CAW_ENOMEM;
}

/* The bound address as a target: without gRPC's "ipv4:" and "ipv6:". */
static void print_address(char out[IO_ADDRESS_TEXT], const io_address *a) {
  char text[IO_ADDRESS_TEXT];
  io_address_format(text, a);
  bool ip = !strncmp(text, "ipv4:", 5) || !strncmp(text, "ipv6:", 5);
  snprintf(out, IO_ADDRESS_TEXT, "%s", ip ? text + 5 : text);
}

static int listen_one(caw_server *s, const io_address *address, const char *wanted,
                      caw_server_credentials *tls) {
  int rc = grow_listeners(s);
  if (rc) return fail(s, rc, "cannot listen on %s: %s", wanted, caw_strerror(rc));
  io_listener *l;
  entrance *door = s->entrances[s->n_listeners];
  door->server = s;
  if (tls) door->tls = caw_server_credentials_ref(tls);
  errno = 0;
  rc = io_listener_new(&l, s->workers[0].loop, address, on_accept, door);
  if (rc) {
    char text[IO_ADDRESS_TEXT];
    int err = errno;
    print_address(text, address);
    free_spot(s, s->n_listeners);
    return fail(s, rc, "cannot listen on %s (%s): %s", wanted, text,
                err ? strerror(err) : caw_strerror(rc));
  }
  print_address(s->addresses[s->n_listeners], io_listener_address(l));
  s->listeners[s->n_listeners++] = l;
  io_loop_hold(s->workers[0].loop);
  return 0;
}

/* Undoes the listeners from `keep` on: a name of which one address failed. */
static void unlisten(caw_server *s, size_t keep) {
  while (s->n_listeners > keep) {
    io_listener_close(s->listeners[--s->n_listeners]);
    free_spot(s, s->n_listeners);
    io_loop_release(s->workers[0].loop);
  }
}

static int listen_at(caw_server *s, const char *address, caw_server_credentials *tls) {
  io_target target;
  const char *why = "";
  size_t before = s->n_listeners;
  s->error[0] = '\0';
  if (s->draining) return fail(s, CAW_ESTATE, "the server is shutting down");
  int rc = io_target_parse(&target, caw_str_from(address), true, &why);
  if (rc) return fail(s, rc, "cannot listen on %s: %s", address, why);
  if (target.host[0]) {
    rc = io_resolve_now(target.host, target.port, target.addresses, IO_TARGET_MAX, &why);
    if (rc < 0) return fail(s, rc, "cannot listen on %s: %s", address, why);
    target.count = (unsigned)rc;
  }
  for (unsigned i = 0; i < target.count; i++) {
    /* Port 0 of a name with several addresses: all get what the first got. */
    if (i > 0 && io_address_port(&target.addresses[i]) == 0)
      io_address_set_port(&target.addresses[i],
                          io_address_port(io_listener_address(s->listeners[before])));
    rc = listen_one(s, &target.addresses[i], address, tls);
    if (rc) {
      unlisten(s, before);
      return rc;
    }
  }
  return 0;
}

int caw_server_listen(caw_server *s, const char *address) {
  return listen_at(s, address, NULL);
}

int caw_server_listen_tls(caw_server *s, const char *address, caw_server_credentials *tls) {
  if (!tls) return fail(s, CAW_EINVAL, "cannot listen on %s: no credentials", address);
  return listen_at(s, address, tls);
}

const char *caw_server_error(const caw_server *s) {
  return s->error;
}

const char *caw_server_address(const caw_server *s, size_t i) {
  return i < s->n_listeners ? s->addresses[i] : NULL;
}

caw_loop *caw_server_loop(const caw_server *s) {
  return s->workers[0].loop;
}

/* ---- Draining ---- */

static void all_drained(caw_server *s) {
  pthread_mutex_lock(&s->lock);
  void (*fn)(void *) = s->on_drained;
  void *user = s->drain_user;
  s->on_drained = NULL;
  pthread_mutex_unlock(&s->lock);
  for (unsigned i = 0; i < s->n_workers; i++)
    if (s->own_loops) caw_loop_stop(s->workers[i].loop);
  if (fn) fn(user); /* may free the server */
}

static void on_worker_drained(io_post *post) {
  worker *w = LIST_ENTRY(post, worker, drained_post);
  if (--w->server->left == 0 && !w->server->ending) all_drained(w->server);
}

void server_worker_drained(worker *w, int rc) {
  if (rc) w->result = rc;
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
    if (!s->own_loops) free_struct(s);
    return;
  }
  if (s->ending) return;
  if (!s->draining) {
    s->draining = true;
    s->left = s->n_workers;
    close_listeners(s);
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
