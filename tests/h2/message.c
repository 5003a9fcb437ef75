/* What makes a request or a response of fields and payload (h2/message.h), alone. */
#include "h2/message.h"

#include "rig.h"

#include <string.h>

typedef struct message_case {
  const char *name;
  const char *asked;  /* response: the method of the request, or NULL */
  const char *fields; /* "name=value;" ... */
  bool fine;          /* the block is */
  int64_t length;
} message_case;

static const message_case requests[] = {
    {"plain", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;", true, -1},
    {"https", NULL, ":method=POST;:scheme=https;:path=/;:authority=a;", true, -1},
    {"host", NULL, ":method=POST;:scheme=http;:path=/;host=a;", true, -1},
    {"both", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;host=b;", true, -1},
    {"neither", NULL, ":method=POST;:scheme=http;:path=/;", false, -1},
    {"an empty host", NULL, ":method=POST;:scheme=http;:path=/;host=;", false, -1},
    {"a blank host", NULL, ":method=POST;:scheme=http;:path=/;host= \t;", false, -1},
    {"two hosts", NULL, ":method=POST;:scheme=http;:path=/;host=a;host=a;", false, -1},
    {"a host with a path", NULL, ":method=POST;:scheme=http;:path=/;host=a/b;", false, -1},
    {"no slash", NULL, ":method=POST;:scheme=http;:path=a;:authority=a;", false, -1},
    {"no slash, another scheme", NULL, ":method=POST;:scheme=x;:path=a;:authority=a;", true, -1},
    {"asterisk", NULL, ":method=OPTIONS;:scheme=http;:path=*;:authority=a;", true, -1},
    {"asterisk for POST", NULL, ":method=POST;:scheme=http;:path=*;:authority=a;", false, -1},
    {"OPTIONS of a name", NULL, ":method=OPTIONS;:scheme=http;:path=b;:authority=a;", false, -1},
    {"CONNECT", NULL, ":method=CONNECT;:authority=a:1;", true, -1},
    {"CONNECT with a path", NULL, ":method=CONNECT;:authority=a:1;:path=/;", false, -1},
    {"CONNECT with a scheme", NULL, ":method=CONNECT;:authority=a:1;:scheme=http;", false, -1},
    {"CONNECT to nowhere", NULL, ":method=CONNECT;host=a;", false, -1},
    {"te", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;te=trailers;", true, -1},
    {"te in capitals", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;te=TRAILERS;", true,
     -1},
    {"another te", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;te=trailerz;", false, -1},
    {"te with more", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;te=gzip, trailers;",
     false, -1},
    {"length", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;content-length=10;", true, 10},
    {"length 0", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;content-length=0;", true, 0},
    {"the largest length", NULL,
     ":method=POST;:scheme=http;:path=/;:authority=a;content-length=9223372036854775799;", true,
     INT64_C(9223372036854775799)},
    {"a length too large", NULL,
     ":method=POST;:scheme=http;:path=/;:authority=a;content-length=92233720368547758070;", false,
     -1},
    {"an empty length", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;content-length=;",
     false, -1},
    {"a sign", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;content-length=+1;", false,
     -1},
    {"a point", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;content-length=1.0;", false,
     -1},
    {"two lengths", NULL,
     ":method=POST;:scheme=http;:path=/;:authority=a;content-length=1;content-length=1;", false,
     -1},
    {"a status", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;:status=200;", false, -1},
    {"a protocol", NULL, ":method=CONNECT;:authority=a;:protocol=x;", false, -1},
    {"nameless", NULL, ":method=POST;:scheme=http;:path=/;:authority=a;=x;", true, -1},
};

static const message_case responses[] = {
    {"plain", "POST", ":status=200;content-type=x;", true, -1},
    {"no status", "POST", "content-type=x;", false, -1},
    {"two digits", "POST", ":status=20;", false, -1},
    {"a slash", "POST", ":status=2/0;", false, -1},
    {"a colon", "POST", ":status=20:;", false, -1},
    {"below 100", "POST", ":status=099;", false, -1},
    {"switching", "POST", ":status=101;", false, -1},
    {"host", "POST", ":status=200;host=a;host=;", true, -1},
    {"length", "POST", ":status=200;content-length=7;", true, 7},
    {"no content", "POST", ":status=204;content-length=7;", true, 0},
    {"not modified", "POST", ":status=304;content-length=7;", true, 0},
    {"of HEAD", "HEAD", ":status=200;content-length=7;", true, 0},
    {"of CONNECT", "CONNECT", ":status=200;content-length=7;", false, -1},
    {"of CONNECT, plain", "CONNECT", ":status=200;", true, -1},
    {"of CONNECT, refused", "CONNECT", ":status=403;content-length=7;", true, 7},
    {"interim with a length", "POST", ":status=100;content-length=7;", false, -1},
    {"a path", "POST", ":status=200;:path=/;", false, -1},
};

static bool play(h2_message *m, h2_role reader, const char *fields, bool *informational) {
  while (*fields) {
    size_t end = strcspn(fields, ";"), name = strcspn(fields + 1, "=") + 1;
    if (fields[0] == '=') name = 0;
    h2_field f = {caw_str_of(fields, name), caw_str_of(fields + name + 1, end - name - 1), 0, 0};
    f.token = (uint8_t)h2_token_of(f.name);
    if (!message_field(m, reader, &f)) return false;
    fields += end + 1;
  }
  return message_block(m, reader, false, informational);
}

static void check(const message_case *c, h2_role reader) {
  h2_message m;
  bool informational;
  message_begin(&m);
  if (c->asked) {
    h2_field asked[] = {{CAW_STR(":scheme"), CAW_STR("http"), 0, 0},
                        {CAW_STR(":method"), caw_str_from(c->asked), 0, 0},
                        {CAW_STR("x"), CAW_STR("y"), 0, 0},
                        {CAW_STR(":method"), CAW_STR("HEAD"), 0, 0}};
    message_asked(&m, asked, 0);
    message_asked(&m, asked, 4);
  }
  bool fine = play(&m, reader, c->fields, &informational);
  if (fine != c->fine) print_error("%s\n", c->name);
  assert_int_equal(fine, c->fine);
  if (!fine) return;
  assert_false(informational);
  assert_int_equal(m.left, c->length);
  assert_int_equal(message_end(&m), c->length <= 0);
  if (c->length > 0 && c->length < 100) {
    assert_true(message_data(&m, (size_t)c->length));
    assert_true(message_end(&m));
    assert_false(message_data(&m, 1));
  }
}

static void test_requests(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
    check(&requests[i], H2_SERVER);
}

static void test_responses(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++)
    check(&responses[i], H2_CLIENT);
}

/* Interim responses come and go; what was asked stays known. */
static void test_interim(void **state) {
  (void)state;
  h2_message m;
  bool informational, none;
  h2_field head = {CAW_STR(":method"), CAW_STR("HEAD"), 0, 0};
  message_begin(&m);
  message_asked(&m, &head, 1);
  for (int i = 0; i < 3; i++) {
    assert_true(play(&m, H2_CLIENT, ":status=103;link=x;", &informational));
    assert_true(informational);
    assert_false(message_data(&m, 0)); /* nothing may come before the real one */
  }
  assert_true(play(&m, H2_CLIENT, ":status=200;content-length=9;", &informational));
  assert_false(informational);
  assert_int_equal(m.left, 0);
  /* Trailers: no pseudo-header field, and nothing after them. */
  h2_field f = {CAW_STR(":status"), CAW_STR("200"), H2_T_STATUS, 0};
  assert_false(message_field(&m, H2_CLIENT, &f));
  assert_true(message_block(&m, H2_CLIENT, true, &none));
  assert_false(message_block(&m, H2_CLIENT, false, &none));
  /* An interim response cannot be the end. */
  message_begin(&m);
  assert_true(message_field(&m, H2_CLIENT,
                            &(h2_field){CAW_STR(":status"), CAW_STR("100"), H2_T_STATUS, 0}));
  assert_false(message_block(&m, H2_CLIENT, true, &informational));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_requests),
      cmocka_unit_test(test_responses),
      cmocka_unit_test(test_interim),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
