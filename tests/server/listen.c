/* Listening: every error as a value with a sentence that names the address, and
 * servers on many addresses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "duo.h"

#include <caw/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct ends {
  caw_loop *loop;
  caw_server *server;
} ends;

static void open_ends(ends *e) {
  assert_int_equal(caw_loop_new(&e->loop), 0);
  const caw_server_options o = {.size = sizeof(o), .loop = e->loop};
  assert_int_equal(caw_server_new(&e->server, &o), 0);
  assert_string_equal(caw_server_error(e->server), "");
  assert_null(caw_server_address(e->server, 0));
}

static void close_ends(ends *e) {
  caw_server_free(e->server);
  caw_loop_free(e->loop);
}

/* The error, its text, and that nothing was taken: the next one is fine. */
static void assert_refused(ends *e, const char *address, int rc, const char *text) {
  int got = caw_server_listen(e->server, address);
  if (got != rc) fail_msg("%s: %s, %s", address, caw_code_name(got), caw_server_error(e->server));
  assert_string_equal(caw_server_error(e->server), text);
  assert_null(caw_server_address(e->server, 0));
}

static void not_addresses(void **state) {
  (void)state;
  char path[200];
  memset(path, 'p', sizeof(path));
  memcpy(path, "unix:/", 6);
  path[sizeof(path) - 1] = '\0';
  const char *const cases[] = {
      "",           ":",        "127.0.0.1",   "127.0.0.1:",    "127.0.0.1:x",
      "host:65536", "host:-1",  "[::1]",       "[::1:50051",    "unix:",
      path,         "host:1:2", "[::g]:50051", "127.0.0.1:1 2", "ipv4:host:1",
  };
  ends e;
  open_ends(&e);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    char start[256];
    int rc = caw_server_listen(e.server, cases[i]);
    if (rc != CAW_EADDR) fail_msg("\"%s\": %s", cases[i], caw_code_name(rc));
    int n = snprintf(start, sizeof(start), "cannot listen on %s: ", cases[i]);
    const char *error = caw_server_error(e.server);
    assert_int_equal(strncmp(error, start, (size_t)n), 0);
    assert_true(strlen(error) > (size_t)n + 10); /* and a reason */
    assert_null(caw_server_address(e.server, 0));
  }
  assert_int_equal(caw_server_listen(e.server, "127.0.0.1:0"), 0);
  assert_string_equal(caw_server_error(e.server), "");
  assert_non_null(caw_server_address(e.server, 0));
  close_ends(&e);
}

static void in_use(void **state) {
  (void)state;
  ends first, second;
  char want[256];
  open_ends(&first);
  open_ends(&second);
  assert_int_equal(caw_server_listen(first.server, "127.0.0.1:0"), 0);
  const char *address = caw_server_address(first.server, 0);
  snprintf(want, sizeof(want), "cannot listen on %s (%s): Address already in use", address,
           address);
  assert_refused(&second, address, CAW_EADDRINUSE, want);
  /* A Unix socket that somebody listens on, too. */
  char path[64];
  snprintf(path, sizeof(path), "unix:/tmp/caw-listen-%d", (int)getpid());
  assert_int_equal(caw_server_listen(first.server, path), 0);
  assert_string_equal(caw_server_address(first.server, 1), path);
  snprintf(want, sizeof(want), "cannot listen on %s (%s): Address already in use", path, path);
  assert_refused(&second, path, CAW_EADDRINUSE, want);
  close_ends(&first);
  assert_int_equal(access(path + 5, F_OK), -1); /* the file is gone with it */
  assert_int_equal(caw_server_listen(second.server, path), 0);
  close_ends(&second);
}

static void refused_by_the_system(void **state) {
  (void)state;
  ends e;
  open_ends(&e);
  /* RFC 5737: nobody has this address. */
  assert_refused(&e, "192.0.2.1:0", CAW_EADDR,
                 "cannot listen on 192.0.2.1:0 (192.0.2.1:0): Cannot assign requested address");
  assert_refused(&e, "unix:/nowhere/at/all", CAW_EADDR,
                 "cannot listen on unix:/nowhere/at/all (unix:/nowhere/at/all): "
                 "No such file or directory");
  assert_refused(&e, "unix:/dev/null", CAW_EADDRINUSE,
                 "cannot listen on unix:/dev/null (unix:/dev/null): Address already in use");
  close_ends(&e);
}

/* A name that cannot be one. What name servers answer is in tests/io/resolver.c. */
static void names(void **state) {
  (void)state;
  ends e;
  open_ends(&e);
  assert_refused(&e, "not..a.name:50051", CAW_EADDR,
                 "cannot listen on not..a.name:50051: host name has an empty part");
  close_ends(&e);
}

/* Does a channel get an answer there? An unknown method is one. */
static void assert_answers(ends *e, const char *address) {
  duo d = {0};
  heard h = {0};
  const char *why = "";
  d.loop = e->loop;
  d.channel_options.size = sizeof(d.channel_options);
  d.channel_options.loop = e->loop;
  assert_int_equal(caw_channel_new(&d.channel, address, &d.channel_options, &why), 0);
  duo_call(&d, &h, &duo_unary, "x", NULL);
  duo_done(&d, &h);
  if (h.code != CAW_UNIMPLEMENTED) fail_msg("%s: %s", address, h.message);
  caw_channel_free(d.channel);
}

static unsigned port_of(const char *address) {
  return (unsigned)atoi(strrchr(address, ':') + 1);
}

/* Every address of the name, all on the port that the system chose. */
static void localhost(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) {
    ends e;
    open_ends(&e);
    assert_int_equal(caw_server_listen(e.server, "localhost:0"), 0);
    unsigned port = port_of(caw_server_address(e.server, 0));
    assert_in_range(port, 1, 65535);
    for (size_t n = 0; caw_server_address(e.server, n); n++) {
      assert_int_equal(port_of(caw_server_address(e.server, n)), port);
      assert_answers(&e, caw_server_address(e.server, n));
    }
    close_ends(&e);
  }
}

/* One address of a name is taken: the others are given back. */
static void all_or_none(void **state) {
  (void)state;
  ends first, second;
  char name[32];
  open_ends(&first);
  open_ends(&second);
  assert_int_equal(caw_server_listen(first.server, "localhost:0"), 0);
  snprintf(name, sizeof(name), "localhost:%u", port_of(caw_server_address(first.server, 0)));
  assert_int_equal(caw_server_listen(second.server, name), CAW_EADDRINUSE);
  assert_null(caw_server_address(second.server, 0));
  close_ends(&first);
  assert_int_equal(caw_server_listen(second.server, name), 0);
  close_ends(&second);
}

static void many_addresses(void **state) {
  (void)state;
  enum { N = 40 };
  ends e;
  char text[64];
  open_ends(&e);
  for (int i = 0; i < N; i++) {
    if (i % 3 == 0) snprintf(text, sizeof(text), "127.0.0.1:0");
    else if (i % 3 == 1) snprintf(text, sizeof(text), "unix:/tmp/caw-many-%d-%d", (int)getpid(), i);
    else snprintf(text, sizeof(text), "unix-abstract:caw-many-%d-%d", (int)getpid(), i);
    assert_int_equal(caw_server_listen(e.server, text), 0);
    if (i % 3) assert_string_equal(caw_server_address(e.server, (size_t)i), text);
  }
  assert_null(caw_server_address(e.server, N));
  assert_null(caw_server_address(e.server, SIZE_MAX));
  for (size_t i = 0; i < N; i++) assert_answers(&e, caw_server_address(e.server, i));
  close_ends(&e);
  snprintf(text, sizeof(text), "/tmp/caw-many-%d-1", (int)getpid());
  assert_int_equal(access(text, F_OK), -1);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(not_addresses),
      cmocka_unit_test(in_use),
      cmocka_unit_test(refused_by_the_system),
      cmocka_unit_test(names),
      cmocka_unit_test(localhost),
      cmocka_unit_test(all_or_none),
      cmocka_unit_test(many_addresses),
  };
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
