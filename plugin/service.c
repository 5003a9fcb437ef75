/*
 * Services: descriptions of the methods, tables of functions for servers, typed
 * functions for clients, and the adapters in between. The words "one" and
 * "many" are about messages: a unary method has one request and one reply.
 */
#include "service.h"
#include "names.h"
#include "text.h"

/* A method and the names of what is written for it. */
typedef struct method {
  const method_proto *proto;
  const char *c;        /* "pkg_service_method", before everything global */
  const char *function; /* the same as a name of its own */
  const char *member;   /* in the tables */
  const char *request;  /* C types */
  const char *reply;
  const model_type *request_type, *reply_type;
  bool requests, replies; /* many of them */
  path path;
} method;

typedef struct service {
  const service_proto *proto;
  const model_file *file;
  const char *full; /* "pkg.Service" */
  const char *c;    /* "pkg_service" */
  method *methods;
  size_t count;
  path path;
} service;

static const model_type *type_named(const model *m, caw_str name) {
  if (name.len && name.data[0] == '.') name = caw_str_of(name.data + 1, name.len - 1);
  const model_type *t = map_get(&m->types, name);
  return t && t->message ? t : NULL;
}

/* Returns false when a method has a type that is not in the request. */
static bool fill(service *s, const model *m, const model_file *f, size_t index) {
  const service_proto *p = &f->proto->service.items[index];
  const char *package = text_of(f->proto->package);
  bool good = true;
  s->proto = p;
  s->file = f;
  s->full = text_format("%s%s%s", package, *package ? "." : "", text_of(p->name));
  s->c = text_format("%s%s%s", f->c_package, *f->c_package ? "_" : "", names_snake(p->name));
  s->path = model_path((path){NULL, 0}, PATH_FILE_SERVICE, index);
  s->count = p->method.len;
  s->methods = text_alloc(s->count + 1, sizeof(method));
  for (size_t i = 0; i < s->count; i++) {
    method *e = &s->methods[i];
    const char *snake = names_snake(p->method.items[i].name);
    e->proto = &p->method.items[i];
    e->c = text_format("%s_%s", s->c, snake);
    e->function = names_usable(e->c);
    e->member = names_usable(snake);
    e->request_type = type_named(m, e->proto->input_type);
    e->reply_type = type_named(m, e->proto->output_type);
    e->requests = e->proto->client_streaming;
    e->replies = e->proto->server_streaming;
    e->path = model_path(s->path, PATH_SERVICE_METHOD, i);
    if (!e->request_type || !e->reply_type) {
      good = false;
      continue;
    }
    e->request = e->request_type->c_name;
    e->reply = e->reply_type->c_name;
  }
  return good;
}

/* -- names --------------------------------------------------------------- */

static void claim_method(model *m, const service *s, const method *e, map *members) {
  const struct {
    bool there;
    const char *suffix;
  } names[] = {{true, "_method"},
               {true, "_async"},
               {!e->replies, "_reply"},
               {e->replies, "_send_reply"},
               {e->replies, "_write_reply"},
               {e->requests, "_read_request"},
               {e->requests, "_write"},
               {e->requests, "_send"},
               {e->requests || e->replies, "_read"},
               {e->requests || e->replies, "_events"}};
  const char *what = text_format("%s.%s", s->full, text_of(e->proto->name));
  model_claim(m, members, e->member, what, s->file, e->path);
  model_claim(m, &m->idents, e->function, what, s->file, e->path);
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
    if (names[i].there)
      model_claim(m, &m->idents, text_format("%s%s", e->c, names[i].suffix), what, s->file,
                  e->path);
  if (e->requests || e->replies)
    model_claim(m, &m->tags, text_format("%s_events", e->c), what, s->file, e->path);
}

void service_claim(model *m, const model_file *f, size_t index) {
  static const char *const suffixes[] = {"service", "blocking", "add", "add_blocking"};
  service s;
  map members = {0};
  if (!fill(&s, m, f, index))
    model_fail(m, text_format("%s: service \"%s\" has a type that is not in the request", f->name,
                              s.full));
  for (size_t i = 0; i < 4; i++) {
    const char *name = text_format("%s_%s", s.c, suffixes[i]);
    model_claim(m, &m->idents, name, s.full, f, s.path);
    if (i < 2) model_claim(m, &m->tags, name, s.full, f, s.path);
  }
  for (size_t i = 0; i < s.count; i++) claim_method(m, &s, &s.methods[i], &members);
  map_finish(&members);
}

/* -- header: server ------------------------------------------------------ */

static void put_service_member(buf *out, const service *s, const method *e) {
  text_comment(out, 2, model_comment(s->file, e->path));
  if (!e->requests) {
    text_put(out, "  int (*%s)(caw_call *call, const %s *request, ", e->member, e->request);
    if (!e->replies) text_put(out, "%s *reply, ", e->reply);
    text_put(out, "void *self);\n");
    return;
  }
  text_put(out, "  struct {\n    int (*open)(caw_call *call, void *self);\n");
  text_put(out, "    int (*message)(caw_call *call, const %s *request, void *self);\n", e->request);
  text_put(out, "    int (*end)(caw_call *call, ");
  if (!e->replies) text_put(out, "%s *reply, ", e->reply);
  text_put(out, "void *self);\n  } %s;\n", e->member);
}

static void put_blocking_member(buf *out, const service *s, const method *e) {
  bool unary = !e->requests && !e->replies;
  text_comment(out, 2, model_comment(s->file, e->path));
  text_put(out, "  int (*%s)(%s, ", e->member, unary ? "caw_call *call" : "caw_stream *stream");
  if (!e->requests) text_put(out, "const %s *request, ", e->request);
  if (!e->replies) text_put(out, "%s *reply, ", e->reply);
  text_put(out, "void *self);\n");
}

static void put_tables(buf *out, const service *s) {
  text_put(out, "\n");
  text_comment(out, 0, model_comment(s->file, s->path));
  text_put(out, "typedef struct %s_service {\n", s->c);
  for (size_t i = 0; i < s->count; i++) put_service_member(out, s, &s->methods[i]);
  if (!s->count) text_put(out, "  int caw_unused;\n");
  text_put(out, "} %s_service;\n\n", s->c);
  text_put(out, "/* Serves the methods with these functions, on the calls' loops; as "
                "caw_server_add. */\n");
  text_put(out,
           "int %s_add(caw_server *server, const %s_service *service, void *self);\n\n"
           "typedef struct %s_blocking {\n",
           s->c, s->c, s->c);
  for (size_t i = 0; i < s->count; i++) put_blocking_member(out, s, &s->methods[i]);
  if (!s->count) text_put(out, "  int caw_unused;\n");
  text_put(out, "} %s_blocking;\n\n", s->c);
  text_put(out, "/* Serves the methods with these functions, which may block; as "
                "caw_server_add_blocking. */\n");
  text_put(out,
           "int %s_add_blocking(caw_server *server, const %s_blocking *service, void *self);\n",
           s->c, s->c);
}

/* An inline function that only gives types to one of Caw's. */
static void put_inline(buf *out, const char *signature, const char *body) {
  text_put(out, "\nstatic inline int %s {\n  return %s;\n}\n", signature, body);
}

static void put_server_calls(buf *out, const method *e) {
  if (!e->replies)
    put_inline(out, text_format("%s_reply(caw_call *call, const %s *reply)", e->c, e->reply),
               "caw_call_reply(call, reply)");
  if (e->replies)
    put_inline(out, text_format("%s_send_reply(caw_call *call, const %s *reply)", e->c, e->reply),
               "caw_call_send(call, reply)");
  if (e->requests)
    put_inline(out,
               text_format("%s_read_request(caw_stream *stream, %s *request, caw_arena *arena)",
                           e->c, e->request),
               "caw_stream_read(stream, request, arena)");
  if (e->replies)
    put_inline(out,
               text_format("%s_write_reply(caw_stream *stream, const %s *reply)", e->c, e->reply),
               "caw_stream_write(stream, reply)");
}

/* -- header: client ------------------------------------------------------ */

static void put_client_blocking(buf *out, const method *e) {
  if (!e->requests && !e->replies) {
    put_inline(out,
               text_format("%s(caw_channel *channel, const %s *request, %s *reply,\n"
                           "    caw_arena *arena, const caw_call_options *options, "
                           "caw_status *status)",
                           e->function, e->request, e->reply),
               text_format("caw_call_unary(channel, &%s_method, request, reply, arena, options, "
                           "status)",
                           e->c));
    return;
  }
  if (e->requests) {
    put_inline(out,
               text_format("%s(caw_stream **out, caw_channel *channel,\n"
                           "    const caw_call_options *options)",
                           e->function),
               text_format("caw_stream_open(out, channel, &%s_method, options)", e->c));
    put_inline(out,
               text_format("%s_write(caw_stream *stream, const %s *request)", e->c, e->request),
               "caw_stream_write(stream, request)");
  } else {
    put_inline(out,
               text_format("%s(caw_stream **out, caw_channel *channel, const %s *request,\n"
                           "    const caw_call_options *options)",
                           e->function, e->request),
               text_format("caw_stream_open_with(out, channel, &%s_method, request, options)",
                           e->c));
  }
  put_inline(
      out, text_format("%s_read(caw_stream *stream, %s *reply, caw_arena *arena)", e->c, e->reply),
      "caw_stream_read(stream, reply, arena)");
}

/* The parameters of the function that starts a call, without parentheses. */
static const char *async_parameters(const method *e) {
  const char *one = e->requests ? "" : text_format(" const %s *request,", e->request);
  const char *start = text_format("caw_call **out, caw_channel *channel,%s\n"
                                  "    const caw_call_options *options,",
                                  one);
  if (e->requests || e->replies)
    return text_format("%s const %s_events *events, void *user", start, e->c);
  return text_format("%s\n    void (*done)(caw_call *call, const caw_status *status, const %s "
                     "*reply, void *user),\n    void *user",
                     start, e->reply);
}

static void put_client_async(buf *out, const method *e) {
  if (e->requests || e->replies)
    text_put(out,
             "\ntypedef struct %s_events {\n"
             "  void (*on_metadata)(caw_call *call, const caw_metadata *metadata, void *user);\n"
             "  void (*on_message)(caw_call *call, const %s *reply, void *user);\n"
             "  void (*on_drain)(caw_call *call, void *user);\n"
             "  void (*on_done)(caw_call *call, const caw_status *status, void *user);\n"
             "} %s_events;\n",
             e->c, e->reply, e->c);
  text_put(out, "\nint %s_async(%s);\n", e->c, async_parameters(e));
  if (e->requests)
    put_inline(out, text_format("%s_send(caw_call *call, const %s *request)", e->c, e->request),
               "caw_call_send(call, request)");
}

void service_header(buf *out, const model *m, const model_file *f, size_t index) {
  service s;
  fill(&s, m, f, index);
  text_put(out, "\n/* ---- Service %s ---- */\n", s.full);
  if (s.count) text_put(out, "\n");
  for (size_t i = 0; i < s.count; i++)
    text_put(out, "extern const caw_method %s_method;\n", s.methods[i].c);
  put_tables(out, &s);
  for (size_t i = 0; i < s.count; i++) {
    const method *e = &s.methods[i];
    text_put(out, "\n/* -- %s: %s, %s --\n * For handlers: */\n", text_of(e->proto->name),
             e->requests ? "many requests" : "one request",
             e->replies ? "many replies" : "one reply");
    put_server_calls(out, e);
    text_put(out, "\n/* For clients, blocking (caw/blocking.h) and with callbacks "
                  "(caw/channel.h): */\n");
    put_client_blocking(out, e);
    put_client_async(out, e);
  }
}

/* -- source: server ------------------------------------------------------ */

static void put_method(buf *out, const service *s, const method *e) {
  const char *kind = e->requests  ? e->replies ? "CAW_BIDI" : "CAW_CLIENT_STREAM"
                     : e->replies ? "CAW_SERVER_STREAM"
                                  : "CAW_UNARY";
  text_put(out, "\nconst caw_method %s_method = {\n    \"/%s/%s\", %s, &%s, &%s};\n", e->c, s->full,
           text_of(e->proto->name), kind, e->request_type->constant, e->reply_type->constant);
}

/* The table that an adapter got as `impl`. */
static void put_impl(buf *out, const service *s, const char *table) {
  text_put(out, "  const %s_%s *service = (const %s_%s *)impl;\n", s->c, table, s->c, table);
}

static void put_message_adapter(buf *out, const service *s, const method *e) {
  bool unary = !e->requests && !e->replies;
  text_put(out,
           "\nstatic int %s_caw_message(caw_call *call, const void *request, void *reply,\n"
           "    const void *impl, void *self) {\n",
           e->c);
  put_impl(out, s, "service");
  if (!unary) text_put(out, "  (void)reply;\n");
  if (!e->requests) text_put(out, "  if (!service->%s) return CAW_UNIMPLEMENTED;\n", e->member);
  text_put(out, "  return service->%s%s(call, (const %s *)request, ", e->member,
           e->requests ? ".message" : "", e->request);
  if (unary) text_put(out, "(%s *)reply, ", e->reply);
  text_put(out, "self);\n}\n");
}

static void put_stream_adapters(buf *out, const service *s, const method *e) {
  text_put(out, "\nstatic int %s_caw_open(caw_call *call, const void *impl, void *self) {\n", e->c);
  put_impl(out, s, "service");
  text_put(out,
           "  if (!service->%s.message || !service->%s.end) return CAW_UNIMPLEMENTED;\n"
           "  return service->%s.open ? service->%s.open(call, self) : 0;\n}\n",
           e->member, e->member, e->member, e->member);
  text_put(out,
           "\nstatic int %s_caw_end(caw_call *call, void *reply, const void *impl, void *self) {\n",
           e->c);
  put_impl(out, s, "service");
  if (e->replies) text_put(out, "  (void)reply;\n");
  text_put(out, "  return service->%s.end(call, ", e->member);
  if (!e->replies) text_put(out, "(%s *)reply, ", e->reply);
  text_put(out, "self);\n}\n");
}

static void put_run_adapter(buf *out, const service *s, const method *e) {
  bool unary = !e->requests && !e->replies;
  text_put(out,
           "\nstatic int %s_caw_run(caw_stream *stream, const void *request, void *reply,\n"
           "    const void *impl, void *self) {\n",
           e->c);
  put_impl(out, s, "blocking");
  if (e->requests) text_put(out, "  (void)request;\n");
  if (e->replies) text_put(out, "  (void)reply;\n");
  text_put(out, "  if (!service->%s) return CAW_UNIMPLEMENTED;\n  return service->%s(%s, ",
           e->member, e->member, unary ? "caw_stream_call(stream)" : "stream");
  if (!e->requests) text_put(out, "(const %s *)request, ", e->request);
  if (!e->replies) text_put(out, "(%s *)reply, ", e->reply);
  text_put(out, "self);\n}\n");
}

static void put_add(buf *out, const service *s, const char *table, const char *suffix) {
  text_put(out, "\nint %s_add%s(caw_server *server, const %s_%s *service, void *self) {\n", s->c,
           suffix, s->c, table);
  const char *describe = text_format("caw_server_describe(server, \"%s\", &%s)", s->full,
                                     s->file->symbol);
  if (s->count)
    text_put(out,
             "  int rc = %s;\n"
             "  return rc ? rc : caw_server_add%s(server, %s_caw_%s, %zu, service, self);\n}\n",
             describe, suffix, s->c, table, s->count);
  else
    text_put(out, "  (void)service;\n  (void)self;\n"
                  "  return %s; /* a service without methods */\n}\n",
             describe);
}

static void put_server(buf *out, const service *s) {
  for (size_t i = 0; i < s->count; i++) {
    put_message_adapter(out, s, &s->methods[i]);
    if (s->methods[i].requests) put_stream_adapters(out, s, &s->methods[i]);
    put_run_adapter(out, s, &s->methods[i]);
  }
  if (s->count) text_put(out, "\nstatic const caw_handler %s_caw_service[] = {\n", s->c);
  for (size_t i = 0; i < s->count; i++) {
    const method *e = &s->methods[i];
    text_put(out, "    {&%s_method, %s_caw_message, ", e->c, e->c);
    if (e->requests) text_put(out, "%s_caw_open, %s_caw_end},\n", e->c, e->c);
    else text_put(out, "NULL, NULL},\n");
  }
  if (s->count)
    text_put(out, "};\n\nstatic const caw_blocking_handler %s_caw_blocking[] = {\n", s->c);
  for (size_t i = 0; i < s->count; i++)
    text_put(out, "    {&%s_method, %s_caw_run},\n", s->methods[i].c, s->methods[i].c);
  if (s->count) text_put(out, "};\n");
  put_add(out, s, "service", "");
  put_add(out, s, "blocking", "_blocking");
}

/* -- source: client ------------------------------------------------------ */

static void put_unary_client(buf *out, const method *e) {
  text_put(out,
           "\ntypedef void (*%s_caw_callback)(caw_call *call, const caw_status *status,\n"
           "    const %s *reply, void *user);\n",
           e->c, e->reply);
  text_put(
      out,
      "\nstatic void %s_caw_done(caw_call *call, const caw_status *status, const void *reply,\n"
      "    void *user) {\n"
      "  %s_caw_callback done = (%s_caw_callback)caw_call_typed(call);\n"
      "  done(call, status, (const %s *)reply, user);\n}\n",
      e->c, e->c, e->c, e->reply);
  text_put(out,
           "\nint %s_async(%s) {\n"
           "  return caw_call_start_unary(out, channel, &%s_method, request, options,\n"
           "                              %s_caw_done, (caw_fn)done, user);\n}\n",
           e->c, async_parameters(e), e->c, e->c);
}

static void put_stream_client(buf *out, const method *e) {
  text_put(out, "\ntypedef void (*%s_caw_callback)(caw_call *call, const %s *reply, void *user);\n",
           e->c, e->reply);
  text_put(out,
           "\nstatic void %s_caw_on_message(caw_call *call, const void *message, void *user) {\n"
           "  %s_caw_callback on_message = (%s_caw_callback)caw_call_typed(call);\n"
           "  on_message(call, (const %s *)message, user);\n}\n",
           e->c, e->c, e->c, e->reply);
  text_put(out,
           "\nint %s_async(%s) {\n"
           "  caw_client_events generic = {\n"
           "      events->on_metadata, events->on_message ? %s_caw_on_message : NULL,\n"
           "      events->on_drain, events->on_done, (caw_fn)events->on_message};\n",
           e->c, async_parameters(e), e->c);
  if (e->requests)
    text_put(out, "  return caw_call_start(out, channel, &%s_method, options, &generic, user);\n",
             e->c);
  else
    text_put(out,
             "  return caw_call_start_with(out, channel, &%s_method, request, options, &generic, "
             "user);\n",
             e->c);
  text_put(out, "}\n");
}

void service_source(buf *out, const model *m, const model_file *f, size_t index) {
  service s;
  fill(&s, m, f, index);
  for (size_t i = 0; i < s.count; i++) put_method(out, &s, &s.methods[i]);
  put_server(out, &s);
  for (size_t i = 0; i < s.count; i++) {
    if (s.methods[i].requests || s.methods[i].replies) put_stream_client(out, &s.methods[i]);
    else put_unary_client(out, &s.methods[i]);
  }
}
