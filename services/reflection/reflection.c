/* The reflection service (caw/reflection.h), on the public API only. What the two versions say
 * is the same on the wire, so the types of v1 serve v1alpha too. */
#include <caw/reflection.h>

#include "index.h"

#include <caw/alloc.h>
#include <grpc/reflection/v1/reflection.caw.h>
#include <grpc/reflection/v1alpha/reflection.caw.h>
#include <pthread.h>

typedef grpc_reflection_v1_server_reflection_request request;
typedef grpc_reflection_v1_server_reflection_response response;

#define ASKS(what)  GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_##what
#define TELLS(what) GRPC_REFLECTION_V1_SERVER_REFLECTION_RESPONSE_MESSAGE_RESPONSE_CASE_##what

/* A server's reflection; it goes with the server. */
typedef struct reflection {
  caw_server *server;
  pthread_mutex_t lock;
  reflection_index *index; /* under the lock until it is there; then it stays */
} reflection;

/* A call, in its arena. */
typedef struct talk {
  const reflection_index *index;
  bool *sent; /* the files that the client has got */
} talk;

/* An answer that is being made. What it points to lives in the arena until it is sent. */
typedef struct answer {
  talk *talk;
  caw_arena *arena;
  response out;
} answer;

/* ---- Answers ---- */

static int tell_error(answer *a, int code, const char *what, caw_str name) {
  grpc_reflection_v1_error_response *e = caw_arena_calloc(a->arena, 1, sizeof(*e));
  if (!e) return CAW_ENOMEM;
  e->error_code = code;
  e->error_message = caw_arena_printf(a->arena, "%s%.*s", what, CAW_STR_ARG(name));
  a->out.message_response_case = TELLS(ERROR_RESPONSE);
  a->out.message_response.error_response = e;
  return e->error_message.data ? 0 : CAW_ENOMEM;
}

/* The file, and what it imports, as far as the client has not got it. Who asks for one by
 * its name gets it in any case. */
static int tell_file(answer *a, size_t first) {
  const reflection_index *x = a->talk->index;
  grpc_reflection_v1_file_descriptor_response *f = caw_arena_calloc(a->arena, 1, sizeof(*f));
  size_t *list = caw_arena_calloc(a->arena, x->n_files, sizeof(*list)), n = 0;
  if (f) f->file_descriptor_proto.items = caw_arena_calloc(a->arena, x->n_files, sizeof(caw_str));
  if (!f || !list || !f->file_descriptor_proto.items) return CAW_ENOMEM;
  a->talk->sent[first] = true;
  list[n++] = first;
  for (size_t i = 0; i < n; i++) {
    const caw_pb_file *file = x->files[list[i]];
    for (size_t k = 0; k < file->import_count; k++) {
      size_t at = reflection_find_file(x, caw_str_from(file->imports[k]->name));
      if (a->talk->sent[at]) continue;
      a->talk->sent[at] = true;
      list[n++] = at;
    }
    f->file_descriptor_proto.items[f->file_descriptor_proto.len++] =
        caw_str_of((const char *)file->descriptor, file->descriptor_len);
  }
  a->out.message_response_case = TELLS(FILE_DESCRIPTOR_RESPONSE);
  a->out.message_response.file_descriptor_response = f;
  return 0;
}

static int tell_found(answer *a, size_t file, const char *otherwise, caw_str name) {
  if (file == SIZE_MAX) return tell_error(a, CAW_NOT_FOUND, otherwise, name);
  return tell_file(a, file);
}

static int tell_extension(answer *a, const grpc_reflection_v1_extension_request *e) {
  caw_str type = e->containing_type;
  size_t file = reflection_find_extension(a->talk->index, type, e->extension_number);
  caw_str name =
      caw_arena_printf(a->arena, "%d of %.*s", (int)e->extension_number, CAW_STR_ARG(type));
  return name.data ? tell_found(a, file, "Extension not found: ", name) : CAW_ENOMEM;
}

static int tell_numbers(answer *a, caw_str type) {
  const reflection_index *x = a->talk->index;
  size_t first = 0, n = reflection_extensions_of(x, type, &first);
  if (!n && !reflection_has_message(x, type))
    return tell_error(a, CAW_NOT_FOUND, "Type not found: ", type);
  grpc_reflection_v1_extension_number_response *r = caw_arena_calloc(a->arena, 1, sizeof(*r));
  if (r) r->extension_number.items = caw_arena_calloc(a->arena, n + 1, sizeof(int32_t));
  if (!r || !r->extension_number.items) return CAW_ENOMEM;
  r->base_type_name = type;
  for (size_t i = 0; i < n; i++)
    r->extension_number.items[r->extension_number.len++] = x->extensions[first + i].number;
  a->out.message_response_case = TELLS(ALL_EXTENSION_NUMBERS_RESPONSE);
  a->out.message_response.all_extension_numbers_response = r;
  return 0;
}

static int tell_services(answer *a) {
  const reflection_index *x = a->talk->index;
  grpc_reflection_v1_list_service_response *r = caw_arena_calloc(a->arena, 1, sizeof(*r));
  if (r) r->service.items = caw_arena_calloc(a->arena, x->n_services, sizeof(*r->service.items));
  if (!r || !r->service.items) return CAW_ENOMEM;
  for (size_t i = 0; i < x->n_services; i++)
    r->service.items[r->service.len++].name = x->services[i];
  a->out.message_response_case = TELLS(LIST_SERVICES_RESPONSE);
  a->out.message_response.list_services_response = r;
  return 0;
}

static int make_answer(answer *a, const request *q) {
  const reflection_index *x = a->talk->index;
  caw_str name;
  a->out.valid_host = q->host;
  a->out.original_request = (request *)q;
  switch (q->message_request_case) {
  case ASKS(FILE_BY_FILENAME):
    name = q->message_request.file_by_filename;
    return tell_found(a, reflection_find_file(x, name), "File not found: ", name);
  case ASKS(FILE_CONTAINING_SYMBOL):
    name = q->message_request.file_containing_symbol;
    return tell_found(a, reflection_find_symbol(x, name), "Symbol not found: ", name);
  case ASKS(FILE_CONTAINING_EXTENSION):
    return tell_extension(a, q->message_request.file_containing_extension);
  case ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE):
    return tell_numbers(a, q->message_request.all_extension_numbers_of_type);
  case ASKS(LIST_SERVICES):
    return tell_services(a);
  case ASKS(NOT_SET):
  default: /* none, or one that a later version has */
    return tell_error(a, CAW_INVALID_ARGUMENT, "the request asks nothing that is known here",
                      (caw_str){NULL, 0});
  }
}

/* ---- The handler ---- */

/* Made when it is first needed: all services are added by then. */
static int get_index(reflection *r, const reflection_index **out) {
  pthread_mutex_lock(&r->lock);
  int rc = r->index ? 0 : reflection_index_new(&r->index, r->server);
  *out = r->index;
  pthread_mutex_unlock(&r->lock);
  return rc;
}

static void on_drain(caw_call *call, void *user) {
  (void)user;
  caw_call_resume(call);
}

static int on_open(caw_call *call, const void *impl, void *self) {
  static const caw_call_events events = {.on_drain = on_drain};
  (void)impl;
  talk *t = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*t));
  if (!t) return CAW_ENOMEM;
  int rc = get_index(self, &t->index);
  if (rc) return rc;
  t->sent = caw_arena_calloc(caw_call_arena(call), t->index->n_files + 1, sizeof(*t->sent));
  if (!t->sent) return CAW_ENOMEM;
  caw_call_on(call, &events, NULL);
  caw_call_set_data(call, t);
  return 0;
}

/* A client that asks and does not read has as many answers waiting as fit the queue. */
static int on_message(caw_call *call, const void *message, void *reply, const void *impl,
                      void *self) {
  (void)reply;
  (void)impl;
  (void)self;
  answer a = {.talk = caw_call_data(call), .arena = caw_arena_new(0)};
  int rc = a.arena ? make_answer(&a, message) : CAW_ENOMEM;
  if (!rc) rc = caw_call_send(call, &a.out);
  caw_arena_free(a.arena);
  if (!rc && caw_call_full(call)) caw_call_pause(call);
  return rc == CAW_ECLOSED ? 0 : rc;
}

static int on_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)call;
  (void)reply;
  (void)impl;
  (void)self;
  return 0;
}

#define METHOD(version)                                                                            \
  {                                                                                                \
    "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo", CAW_BIDI,                \
        &grpc_reflection_v1_server_reflection_request_type,                                        \
        &grpc_reflection_v1_server_reflection_response_type                                        \
  }

static const caw_method methods[] = {METHOD("v1"), METHOD("v1alpha")};
static const caw_handler handlers[] = {{&methods[0], on_message, on_open, on_end},
                                       {&methods[1], on_message, on_open, on_end}};

/* ---- Public ---- */

static void free_reflection(void *user) {
  reflection *r = user;
  reflection_index_free(r->index);
  pthread_mutex_destroy(&r->lock);
  caw_free(r);
}

int caw_reflection_add(caw_server *server) {
  reflection *r = caw_calloc(1, sizeof(*r));
  if (!r) return CAW_ENOMEM;
  r->server = server;
  pthread_mutex_init(&r->lock, NULL);
  int rc = caw_server_on_free(server, free_reflection, r);
  if (rc) {
    free_reflection(r);
    return rc;
  }
  rc = caw_server_describe(server, "grpc.reflection.v1.ServerReflection",
                           &caw_file_grpc_reflection_v1_reflection_proto);
  if (!rc)
    rc = caw_server_describe(server, "grpc.reflection.v1alpha.ServerReflection",
                             &caw_file_grpc_reflection_v1alpha_reflection_proto);
  return rc ? rc : caw_server_add(server, handlers, 2, NULL, r);
}
