/* The server's blocking face (caw/blocking.h): handlers on the pool, on the
 * callback face. */
#include "conn/mailbox.h"
#include "server/server.h"

#include <caw/alloc.h>

/* A method with a blocking handler. */
typedef struct blocking_method {
  raw_method raw;
  caw_handler handler;
  const caw_blocking_handler *blocking;
  const void *impl;
  void *self;
  caw_server *server;
} blocking_method;

/* The methods of one caw_server_add_blocking. */
typedef struct blocking_group {
  struct blocking_group *next;
  blocking_method methods[];
} blocking_group;

/* One call on its way through the pool. It is the user pointer of the call's
 * callbacks, which hold the stream until on_done. */
typedef struct blocking_call {
  io_job job;
  caw_stream *stream;
  const blocking_method *method;
  caw_str request; /* of kinds with one; borrowed from the call */
} blocking_call;

/* ---- On the pool ---- */

static int run_handler(blocking_call *b, void *reply) {
  const blocking_method *m = b->method;
  caw_call *call = b->stream->call;
  caw_call_kind kind = m->raw.method.kind;
  void *request = NULL;
  if (kind == CAW_UNARY || kind == CAW_SERVER_STREAM) {
    const caw_type *type = m->raw.real->request;
    caw_arena *arena = caw_call_arena(call);
    request = caw_arena_calloc(arena, 1, type->size);
    int rc = request ? type->codec->decode(type->desc, request, (const uint8_t *)b->request.data,
                                           b->request.len, arena)
                     : CAW_ENOMEM;
    if (rc == CAW_ENOMEM) return rc;
    if (rc)
      return caw_call_fail(call, CAW_INTERNAL, "the request is malformed: %s", caw_strerror(rc));
  }
  return m->blocking->run(b->stream, request, reply, m->impl, m->self);
}

static void run_job(io_job *job) {
  blocking_call *b = (blocking_call *)(void *)job;
  caw_call *call = b->stream->call;
  const caw_type *type = b->method->raw.real->response;
  caw_call_kind kind = b->method->raw.method.kind;
  bool one_reply = kind == CAW_UNARY || kind == CAW_CLIENT_STREAM;
  void *reply = one_reply ? caw_arena_calloc(caw_call_arena(call), 1, type->size) : NULL;
  int rc = one_reply && !reply ? CAW_ENOMEM : run_handler(b, reply);
  if (!rc && one_reply) rc = caw_stream_write(b->stream, reply);
  caw_call_finish(call, rc, NULL);
  mailbox_unref(b->stream);
  caw_free(b);
}

/* ---- On the loop ---- */

static void on_cancel(caw_call *call, void *user) {
  (void)call;
  mailbox_cancel(user);
}

static void on_drain(caw_call *call, void *user) {
  (void)call;
  mailbox_drain(user);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  (void)call;
  mailbox_done(user, status);
  mailbox_unref(user);
}

static const caw_call_events events = {on_cancel, on_drain, NULL, on_done};

/* Hands a call to the pool. */
static int submit(caw_call *call, const blocking_method *m, caw_str request) {
  blocking_call *b = caw_calloc(1, sizeof(*b));
  caw_stream *s = NULL;
  if (!b || mailbox_new(&s, m->raw.real->request, m->raw.real->response)) {
    caw_free(b);
    return CAW_ENOMEM;
  }
  s->call = caw_call_ref(call);
  b->stream = s;
  b->method = m;
  b->request = request;
  /* One reference is the job's, one the callbacks'. The job may finish the call
   * before this returns, so both are there first. */
  mailbox_ref(s);
  caw_call_set_data(call, s);
  caw_call_on(call, &events, s);
  if (!io_pool_submit(m->server->pool, &b->job, run_job)) return 0;
  static const caw_call_events none;
  caw_call_on(call, &none, NULL);
  caw_call_set_data(call, NULL);
  mailbox_unref(s);
  mailbox_unref(s);
  caw_free(b);
  return caw_call_fail(call, CAW_RESOURCE_EXHAUSTED, "too many calls wait for a thread");
}

static int on_open(caw_call *call, const void *impl, void *self) {
  (void)self;
  int rc = submit(call, impl, (caw_str){NULL, 0});
  return rc ? rc : CAW_PENDING; /* the job finishes, even when the call is cut short */
}

static int on_only(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)reply;
  (void)self;
  int rc = submit(call, impl, *(const caw_str *)request);
  return rc ? rc : CAW_PENDING;
}

static int on_message(caw_call *call, const void *request, void *reply, const void *impl,
                      void *self) {
  (void)reply;
  (void)impl;
  (void)self;
  mailbox_deliver(caw_call_data(call), call, *(const caw_str *)request);
  return 0;
}

static int on_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)reply;
  (void)impl;
  (void)self;
  mailbox_end(caw_call_data(call));
  return CAW_PENDING;
}

/* ---- Registration ---- */

static void prepare(blocking_method *m, caw_server *server, const caw_blocking_handler *handler,
                    const void *impl, void *self) {
  raw_method_init(&m->raw, handler->method);
  bool many = handler->method->kind == CAW_CLIENT_STREAM || handler->method->kind == CAW_BIDI;
  m->handler.method = &m->raw.method;
  m->handler.message = many ? on_message : on_only;
  m->handler.open = many ? on_open : NULL;
  m->handler.end = many ? on_end : NULL;
  m->blocking = handler;
  m->impl = impl;
  m->self = self;
  m->server = server;
}

int caw_server_add_blocking(caw_server *s, const caw_blocking_handler *handlers, size_t n,
                            const void *impl, void *self) {
  if (s->started) return CAW_ESTATE;
  for (size_t i = 0; i < n; i++)
    if (!handlers[i].method || !handlers[i].run) return CAW_EINVAL;
  if (!s->pool) {
    int rc = io_pool_new(&s->pool, s->options.pool_threads, s->options.pool_queue);
    if (rc) return rc;
  }
  blocking_group *g = caw_calloc(1, sizeof(*g) + n * sizeof(g->methods[0]));
  method_entry *entries = g ? server_new_entries(n) : NULL;
  if (!entries) {
    caw_free(g);
    return CAW_ENOMEM;
  }
  for (size_t i = 0; i < n; i++) {
    prepare(&g->methods[i], s, &handlers[i], impl, self);
    entries[i].handler = &g->methods[i].handler;
    entries[i].impl = &g->methods[i];
  }
  int rc = server_add_entries(s, entries, n);
  if (rc) {
    caw_free(g);
    return rc;
  }
  g->next = s->blocking;
  s->blocking = g;
  return 0;
}

void server_blocking_free(caw_server *s) {
  for (blocking_group *g = s->blocking, *next; g; g = next) {
    next = g->next;
    caw_free(g);
  }
}
