/* Reflection: every question in both versions, with the exact answer, also to those that have
 * none; a client that does not read; and memory that runs out. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"
#include "failing.h"

#include <caw/health.h>
#include <caw/reflection.h>
#include <grpc/reflection/v1/reflection.caw.h>
#include <stdio.h>
#include <thing/thing.caw.h>

typedef grpc_reflection_v1_server_reflection_request question;
typedef grpc_reflection_v1_server_reflection_response reply;

#define ASKS(what)  GRPC_REFLECTION_V1_SERVER_REFLECTION_REQUEST_MESSAGE_REQUEST_CASE_##what
#define TELLS(what) GRPC_REFLECTION_V1_SERVER_REFLECTION_RESPONSE_MESSAGE_RESPONSE_CASE_##what

static const caw_method v1alpha = {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                   CAW_BIDI, &grpc_reflection_v1_server_reflection_request_type,
                                   &grpc_reflection_v1_server_reflection_response_type};

/* ---- A client: the replies as text ---- */

typedef struct talk {
  caw_call *call;
  int n, done, code;
  char text[1024]; /* of the last reply */
  bool pause;
} talk;

CAW_PRINTF(2, 3)
static void add(talk *t, const char *format, ...) {
  size_t len = strlen(t->text);
  va_list args;
  va_start(args, format);
  vsnprintf(t->text + len, sizeof(t->text) - len, format, args);
  va_end(args);
}

/* The first field of a FileDescriptorProto is its name. */
static void add_file(talk *t, caw_str bytes) {
  assert_true(bytes.len > 2 && bytes.data[0] == 0x0a);
  add(t, "%.*s;", bytes.data[1], bytes.data + 2);
}

static void on_reply(caw_call *call, const void *message, void *user) {
  talk *t = user;
  const reply *r = message;
  t->n++;
  t->text[0] = '\0';
  assert_true(caw_str_is(r->valid_host, "here"));
  assert_non_null(r->original_request);
  switch (r->message_response_case) {
  case TELLS(FILE_DESCRIPTOR_RESPONSE): {
    const grpc_reflection_v1_file_descriptor_response *f =
        r->message_response.file_descriptor_response;
    for (size_t i = 0; i < f->file_descriptor_proto.len; i++)
      add_file(t, f->file_descriptor_proto.items[i]);
    break;
  }
  case TELLS(ALL_EXTENSION_NUMBERS_RESPONSE): {
    const grpc_reflection_v1_extension_number_response *e =
        r->message_response.all_extension_numbers_response;
    add(t, "%.*s:", CAW_STR_ARG(e->base_type_name));
    for (size_t i = 0; i < e->extension_number.len; i++)
      add(t, " %d", (int)e->extension_number.items[i]);
    break;
  }
  case TELLS(LIST_SERVICES_RESPONSE): {
    const grpc_reflection_v1_list_service_response *l = r->message_response.list_services_response;
    for (size_t i = 0; i < l->service.len; i++)
      add(t, "%.*s;", CAW_STR_ARG(l->service.items[i].name));
    break;
  }
  case TELLS(ERROR_RESPONSE):
    add(t, "error %d: %.*s", (int)r->message_response.error_response->error_code,
        CAW_STR_ARG(r->message_response.error_response->error_message));
    break;
  case TELLS(NOT_SET):
  default:
    add(t, "nothing");
    break;
  }
  if (t->pause) caw_call_pause(call);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  talk *t = user;
  (void)call;
  t->done = 1;
  t->code = status->code;
  t->call = NULL;
}

static int begin(duo *d, talk *t, const caw_method *method) {
  static const caw_client_events events = {.on_message = on_reply, .on_done = on_done};
  bool pause = t->pause;
  memset(t, 0, sizeof(*t));
  t->pause = pause;
  return caw_call_start(&t->call, d->channel, method, NULL, &events, t);
}

static const char *ask(duo *d, talk *t, const question *q) {
  int before = t->n;
  assert_int_equal(caw_call_send(t->call, q), 0);
  for (int i = 0; i < 1000000 && t->n == before && !t->done; i++)
    caw_loop_run(d->loop, CAW_LOOP_ONCE);
  assert_int_equal(t->n, before + 1);
  return t->text;
}

static void hang_up(duo *d, talk *t) {
  caw_call_close_send(t->call);
  duo_until(d, &t->done);
  assert_int_equal(t->code, 0);
}

/* ---- The server: two services, health, reflection, and the duo's, which nobody describes ---- */

static void set_up(duo *d, caw_health **health) {
  static const thing_things_service things = {0};
  static const thing_unused_service unused = {0};
  memset(d, 0, sizeof(*d));
  duo_init(d);
  assert_int_equal(caw_reflection_add(d->server), 0);
  assert_int_equal(thing_things_add(d->server, &things, NULL), 0);
  assert_int_equal(thing_unused_add(d->server, &unused, NULL), 0);
  assert_int_equal(caw_health_new(health), 0);
  assert_int_equal(caw_health_add(d->server, *health), 0);
}

#define ABOUT(kind, member, value)                                                                 \
  { .host = CAW_STR("here"), .message_request_case = ASKS(kind), .message_request.member = value }
#define FILE_NAMED(name) ABOUT(FILE_BY_FILENAME, file_by_filename, CAW_STR(name))
#define SYMBOL(name)     ABOUT(FILE_CONTAINING_SYMBOL, file_containing_symbol, CAW_STR(name))
#define NUMBERS_OF(name)                                                                           \
  ABOUT(ALL_EXTENSION_NUMBERS_OF_TYPE, all_extension_numbers_of_type, CAW_STR(name))
#define EXTENSION(pair) ABOUT(FILE_CONTAINING_EXTENSION, file_containing_extension, pair)

#define THING "thing/thing.proto;google/protobuf/timestamp.proto;thing/base.proto;"
#define BASE  "thing/base.proto;"

static void questions(void **state) {
  (void)state;
  static grpc_reflection_v1_extension_request e[] = {
      {.containing_type = CAW_STR("thing.base.Extendable"), .extension_number = 100},
      {.containing_type = CAW_STR("thing.base.Extendable"), .extension_number = 101},
      {.containing_type = CAW_STR("thing.base.Extendable"), .extension_number = 150},
      {.containing_type = CAW_STR("thing.base.Extendable"), .extension_number = 1000},
      {.containing_type = CAW_STR("thing.base.Extendable"), .extension_number = 102},
      {.containing_type = CAW_STR("thing.base.Plain"), .extension_number = 100}};
  static const struct {
    question q;
    const char *answer;
  } cases[] = {
      {ABOUT(LIST_SERVICES, list_services, CAW_STR("")),
       "grpc.health.v1.Health;grpc.reflection.v1.ServerReflection;"
       "grpc.reflection.v1alpha.ServerReflection;test.Duo;thing.Things;thing.Unused;"},
      {FILE_NAMED("thing/thing.proto"), THING},
      {FILE_NAMED("thing/base.proto"), BASE},
      {FILE_NAMED("google/protobuf/timestamp.proto"), "google/protobuf/timestamp.proto;"},
      {FILE_NAMED("grpc/health/v1/health.proto"), "grpc/health/v1/health.proto;"},
      {FILE_NAMED("grpc/reflection/v1alpha/reflection.proto"),
       "grpc/reflection/v1alpha/reflection.proto;"},
      {FILE_NAMED("thing.proto"), "error 5: File not found: thing.proto"},
      {FILE_NAMED(""), "error 5: File not found: "},
      {SYMBOL("thing.Things"), THING},
      {SYMBOL("thing.Things.Get"), THING},
      {SYMBOL("thing.Unused"), THING},
      {SYMBOL("thing.Request"), THING},
      {SYMBOL("thing.Request.Nested"), THING},
      {SYMBOL("thing.Request.Nested.Colour"), THING},
      {SYMBOL("thing.Request.Nested.BLUE"), THING},
      {SYMBOL("thing.Request.when"), THING},
      {SYMBOL("thing.Request.choice"), THING},
      {SYMBOL("thing.Size"), THING},
      {SYMBOL("thing.LARGE"), THING},
      {SYMBOL("thing.remark"), THING},
      {SYMBOL("thing.base.Extendable.inside"), BASE},
      {SYMBOL("google.protobuf.Timestamp"), "google/protobuf/timestamp.proto;"},
      {SYMBOL("grpc.health.v1.Health.Watch"), "grpc/health/v1/health.proto;"},
      {SYMBOL("thing"), "error 5: Symbol not found: thing"},
      {SYMBOL(".thing.Things"), "error 5: Symbol not found: .thing.Things"},
      {SYMBOL("thing.Things.Put"), "error 5: Symbol not found: thing.Things.Put"},
      {SYMBOL("test.Duo"), "error 5: Symbol not found: test.Duo"},
      {SYMBOL("caw.outline.File"), "error 5: Symbol not found: caw.outline.File"},
      {NUMBERS_OF("thing.base.Extendable"), "thing.base.Extendable: 100 101 150 1000"},
      {NUMBERS_OF("thing.base.Plain"), "thing.base.Plain:"},
      {NUMBERS_OF("thing.Things"), "error 5: Type not found: thing.Things"},
      {NUMBERS_OF("no.Type"), "error 5: Type not found: no.Type"},
      {EXTENSION(&e[0]), THING},
      {EXTENSION(&e[1]), BASE},
      {EXTENSION(&e[2]), BASE},
      {EXTENSION(&e[3]), THING},
      {EXTENSION(&e[4]), "error 5: Extension not found: 102 of thing.base.Extendable"},
      {EXTENSION(&e[5]), "error 5: Extension not found: 100 of thing.base.Plain"},
      {{.host = CAW_STR("here")}, "error 3: the request asks nothing that is known here"},
  };
  const caw_method *const methods[] = {
      &grpc_reflection_v1_server_reflection_server_reflection_info_method, &v1alpha};
  for (size_t m = 0; m < 2; m++) {
    duo d;
    caw_health *h;
    talk t = {0};
    set_up(&d, &h);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
      assert_int_equal(begin(&d, &t, methods[m]), 0); /* each on its own: nothing was sent yet */
      assert_string_equal(ask(&d, &t, &cases[i].q), cases[i].answer);
      hang_up(&d, &t);
    }
    duo_finish(&d);
    caw_health_free(h);
  }
}

/* On one stream a file that was imported before is not sent again, but if it is asked for. */
static void what_was_sent(void **state) {
  (void)state;
  static const question base = FILE_NAMED("thing/base.proto"), whole = SYMBOL("thing.Things"),
                        none = SYMBOL("no");
  duo d;
  caw_health *h;
  talk t = {0};
  set_up(&d, &h);
  assert_int_equal(begin(&d, &t, &v1alpha), 0);
  assert_string_equal(ask(&d, &t, &base), BASE);
  assert_string_equal(ask(&d, &t, &none), "error 5: Symbol not found: no");
  assert_string_equal(ask(&d, &t, &whole), "thing/thing.proto;google/protobuf/timestamp.proto;");
  assert_string_equal(ask(&d, &t, &whole), "thing/thing.proto;");
  assert_string_equal(ask(&d, &t, &base), BASE);
  hang_up(&d, &t);
  duo_finish(&d);
  caw_health_free(h);
}

/* A client that asks on and on and does not read is stopped, and gets all answers. */
static void slow_reader(void **state) {
  (void)state;
  static const question file = FILE_NAMED("thing/thing.proto");
  duo d;
  caw_health *h;
  talk t = {.pause = true};
  int asked = 0;
  set_up(&d, &h);
  assert_int_equal(begin(&d, &t, &v1alpha), 0);
  for (int quiet = 0; quiet < 100;) {
    int rc = caw_call_send(t.call, &file);
    if (rc) assert_int_equal(rc, CAW_EAGAIN);
    else asked++;
    quiet = rc ? quiet + 1 : 0;
    caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
  }
  assert_in_range(asked, 100, 20000);
  t.pause = false;
  caw_call_resume(t.call);
  caw_call_close_send(t.call);
  duo_until(&d, &t.done);
  assert_int_equal(t.code, 0);
  assert_int_equal(t.n, asked);
  duo_finish(&d);
  caw_health_free(h);
}

static void memory(void **state) {
  (void)state;
  static const question file = FILE_NAMED("thing/thing.proto"),
                        list = ABOUT(LIST_SERVICES, list_services, CAW_STR(""));
  int failures = 0;
  for (long n = 1;; n++) {
    duo d = {0};
    duo_init(&d);
    fail_at(n);
    int rc = caw_reflection_add(d.server);
    bool failed = failing.failed;
    fail_at(0);
    assert_int_equal(rc, failed ? CAW_ENOMEM : 0);
    duo_finish(&d);
    if (!failed) break;
  }
  for (long n = 1;; n++) {
    duo d;
    caw_health *h;
    talk t = {0};
    set_up(&d, &h);
    assert_int_equal(begin(&d, &t, &v1alpha), 0);
    /* Both sides' memory runs out: what the client lacks ends the call as well. */
    fail_at(n);
    int rc = caw_call_send(t.call, &file);
    if (!rc) rc = caw_call_send(t.call, &list);
    for (int i = 0; i < 100000 && t.n < 2 && !t.done; i++) caw_loop_run(d.loop, CAW_LOOP_NOWAIT);
    bool failed = failing.failed;
    fail_at(0);
    if (rc) assert_int_equal(rc, CAW_ENOMEM);
    else assert_true(t.n == 2 || t.done);
    failures += rc != 0 || t.done;
    if (!t.done) {
      caw_call_cancel(t.call);
      duo_until(&d, &t.done);
    }
    duo_finish(&d);
    caw_health_free(h);
    if (!failed) break;
  }
  assert_true(failures > 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(questions),
      cmocka_unit_test(what_was_sent),
      cmocka_unit_test(slow_reader),
      failing_test(memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
