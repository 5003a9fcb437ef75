/* The resolver, against a name server of this test's own on loopback. */
#include "kit.h"

#include "io/resolver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the name server ----------------------------------------------------- */

enum { TYPE_A = 1, TYPE_AAAA = 28 };

typedef struct name_server {
  int fd, stop[2];
  char text[32]; /* "127.0.0.1:PORT" */
  pthread_t thread;
  atomic_int questions;
} name_server;

static size_t put16(uint8_t *at, unsigned v) {
  at[0] = (uint8_t)(v >> 8);
  at[1] = (uint8_t)v;
  return 2;
}

/* The question's name as text; returns the offset behind the question. */
static size_t read_question(const uint8_t *q, size_t len, char name[256], unsigned *type) {
  size_t at = 12, n = 0;
  while (at < len && q[at]) {
    size_t label = q[at++];
    assert_true(at + label < len && n + label + 1 < 256);
    memcpy(name + n, q + at, label);
    n += label;
    name[n++] = '.';
    at += label;
  }
  name[n ? n - 1 : 0] = 0;
  assert_true(at + 5 <= len);
  *type = (unsigned)q[at + 1] << 8 | q[at + 2];
  return at + 5;
}

static size_t put_record(uint8_t *out, unsigned type, const void *data, size_t len) {
  static const uint8_t head[] = {0xc0, 12}; /* the name of the question */
  size_t n = 2;
  memcpy(out, head, 2);
  n += put16(out + n, type);
  n += put16(out + n, 1); /* IN */
  n += put16(out + n, 0); /* TTL */
  n += put16(out + n, 60);
  n += put16(out + n, (unsigned)len);
  memcpy(out + n, data, len);
  return n + len;
}

/*
 * The first label says how to answer: two.* has two A and an AAAA, four.* an A
 * only, six.* an AAAA only, many.* 28 A (what fits 512 bytes), none.* is a name
 * without addresses, silent.* gets no answer at all, fail.* SERVFAIL; everything
 * else does not exist.
 */
static size_t answer(uint8_t *out, const uint8_t *q, size_t len) {
  static const uint8_t ip4[2][4] = {{192, 0, 2, 1}, {192, 0, 2, 2}};
  static const uint8_t ip6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
  char name[256];
  unsigned type, answers = 0, code = 0;
  size_t n = read_question(q, len, name, &type);
  memcpy(out, q, n);
  bool two = !strncmp(name, "two.", 4), many = !strncmp(name, "many.", 5);
  bool four = !strncmp(name, "four.", 5), six = !strncmp(name, "six.", 4);
  if (!strncmp(name, "silent.", 7)) return 0;
  if (!strncmp(name, "fail.", 5)) code = 2;
  else if (!(two || four || six || many || !strncmp(name, "none.", 5))) code = 3;
  if (type == TYPE_A && (two || four))
    for (; answers < (two ? 2u : 1u); answers++) n += put_record(out + n, type, ip4[answers], 4);
  if (type == TYPE_A && many)
    for (; answers < 28; answers++) {
      uint8_t ip[4] = {192, 0, 2, (uint8_t)answers};
      n += put_record(out + n, type, ip, 4);
    }
  if (type == TYPE_AAAA && (two || six)) {
    n += put_record(out + n, type, ip6, 16);
    answers = 1;
  }
  out[2] = 0x81; /* an answer; recursion was desired */
  out[3] = (uint8_t)(0x80 | code);
  put16(out + 4, 1);
  put16(out + 6, answers);
  put16(out + 8, 0);
  put16(out + 10, 0);
  return n;
}

static void *serve(void *arg) {
  name_server *ns = arg;
  for (;;) {
    uint8_t q[600], a[4096];
    struct sockaddr_in from;
    socklen_t from_len = sizeof(from);
    struct pollfd p[2] = {{ns->fd, POLLIN, 0}, {ns->stop[0], POLLIN, 0}};
    poll(p, 2, -1);
    if (p[1].revents) return NULL;
    ssize_t n = recvfrom(ns->fd, q, sizeof(q), 0, (struct sockaddr *)&from, &from_len);
    if (n < 17) continue;
    atomic_fetch_add(&ns->questions, 1);
    size_t len = answer(a, q, (size_t)n);
    if (len) sendto(ns->fd, a, len, 0, (struct sockaddr *)&from, from_len);
  }
}

static name_server ns;

static int start_server(void **state) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof(a);
  (void)state;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (bind(ns.fd, (struct sockaddr *)&a, sizeof(a)) || pipe(ns.stop)) return -1;
  getsockname(ns.fd, (struct sockaddr *)&a, &len);
  snprintf(ns.text, sizeof(ns.text), "127.0.0.1:%u", ntohs(a.sin_port));
  return pthread_create(&ns.thread, NULL, serve, &ns);
}

static int stop_server(void **state) {
  (void)state;
  close(ns.stop[1]);
  pthread_join(ns.thread, NULL);
  close(ns.stop[0]);
  close(ns.fd);
  return 0;
}

/* --- look-ups ------------------------------------------------------------ */

typedef struct outcome {
  int done, rc;
  unsigned n;
  char texts[100 * 40]; /* the addresses, each followed by a blank, in any order */
  char why[128];
  io_lookup *self; /* cancelled inside `done` */
} outcome;

static void on_done(void *user, int rc, const io_address *addresses, unsigned n, const char *why) {
  outcome *o = user;
  o->done++;
  o->rc = rc;
  o->n = n;
  for (unsigned i = 0; i < n && i < 100; i++) {
    char text[IO_ADDRESS_TEXT];
    io_address_format(text, &addresses[i]);
    strcat(strcat(o->texts, text), " ");
  }
  snprintf(o->why, sizeof(o->why), "%s", why);
  io_resolve_cancel(o->self);
}

static void resolve(outcome *o, const char *host, const char *server) {
  caw_loop *loop = kit_loop();
  int threads = kit_threads(), descriptors = kit_descriptors();
  memset(o, 0, sizeof(*o));
  assert_int_equal(io_resolve(&o->self, loop, host, 80, server, on_done, o), 0);
  assert_int_equal(o->done, 0); /* never inside the call */
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_NOWAIT) == 1 || o->done, true);
  assert_int_equal(kit_threads(), threads);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0); /* it held the loop until done */
  assert_int_equal(o->done, 1);
  caw_loop_run(loop, CAW_LOOP_NOWAIT);
  assert_int_equal(kit_descriptors(), descriptors);
  caw_loop_free(loop);
}

#define TWO4 "ipv4:192.0.2.1:80 ", "ipv4:192.0.2.2:80 "
#define ONE6 "ipv6:[2001:db8::1]:80 "

static void answers(void **state) {
  static const struct {
    const char *host;
    int rc;
    unsigned n;
    const char *texts[3], *why;
  } cases[] = {
      {"two.test", 0, 3, {TWO4, ONE6}, ""},
      {"four.test", 0, 1, {"ipv4:192.0.2.1:80 "}, ""},
      {"six.test.", 0, 1, {ONE6}, ""},
      {"many.test", 0, 28, {NULL}, ""},
      {"none.test", CAW_ENOTFOUND, 0, {NULL}, "the host name has no address"},
      {"nobody.test", CAW_ENOTFOUND, 0, {NULL}, "the host name does not exist"},
      {"127.0.0.1", 0, 1, {"ipv4:127.0.0.1:80 "}, ""},
      {"::1", 0, 1, {"ipv6:[::1]:80 "}, ""},
      {"fail.test", CAW_ECONN, 0, {NULL}, NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    outcome o;
    resolve(&o, cases[i].host, ns.text);
    if (o.rc != cases[i].rc || o.n != cases[i].n)
      fail_msg("%s: %d with %u, not %d with %u (%s)", cases[i].host, o.rc, o.n, cases[i].rc,
               cases[i].n, o.why);
    for (int k = 0; k < 3 && cases[i].texts[k]; k++)
      if (!strstr(o.texts, cases[i].texts[k]))
        fail_msg("%s: no %s in %s", cases[i].host, cases[i].texts[k], o.texts);
    if (cases[i].why) assert_string_equal(o.why, cases[i].why);
    assert_int_equal(strlen(o.why) > 0, cases[i].rc != 0);
  }
}

/* /etc/hosts is asked first, so no name server hears of localhost. */
static void localhost(void **state) {
  outcome o;
  (void)state;
  int before = atomic_load(&ns.questions);
  resolve(&o, "localhost", ns.text);
  assert_int_equal(o.rc, 0);
  assert_non_null(strstr(o.texts, "ipv4:127.0.0.1:80 "));
  assert_int_equal(atomic_load(&ns.questions), before);
}

static void silent_server(void **state) {
  outcome o;
  (void)state;
  uint64_t start = kit_clock();
  resolve(&o, "silent.test", ns.text);
  assert_int_equal(o.rc, CAW_ETIMEDOUT);
  assert_string_equal(o.why, "the name server did not answer in time");
  assert_in_range((kit_clock() - start) / KIT_MS, 1000, 12000);
}

static void no_server(void **state) {
  outcome o;
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof(a);
  char text[32];
  (void)state;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
  getsockname(fd, (struct sockaddr *)&a, &len);
  close(fd);
  snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(a.sin_port));
  resolve(&o, "two.test", text);
  assert_int_equal(o.rc, CAW_ECONN);
  assert_string_equal(o.why, "no name server could be reached");
}

static void cancel(void **state) {
  static const char *const hosts[] = {"two.test", "silent.test", "localhost", "127.0.0.1"};
  caw_loop *loop = kit_loop();
  (void)state;
  for (int turns = 0; turns < 3; turns++) {
    for (size_t i = 0; i < 4; i++) {
      outcome o = {0};
      io_lookup *l;
      int descriptors = kit_descriptors();
      assert_int_equal(io_resolve(&l, loop, hosts[i], 1, ns.text, on_done, &o), 0);
      for (int k = 0; k < turns && i == 1; k++) caw_loop_run(loop, CAW_LOOP_NOWAIT);
      io_resolve_cancel(l);
      assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
      assert_int_equal(o.done, 0);
      assert_int_equal(kit_descriptors(), descriptors);
    }
  }
  io_resolve_cancel(NULL);
  caw_loop_free(loop);
}

static void many_at_once(void **state) {
  enum { N = 20 };
  caw_loop *loop = kit_loop();
  static outcome o[N];
  io_lookup *l[N];
  (void)state;
  for (int i = 0; i < N; i++)
    assert_int_equal(
        io_resolve(&l[i], loop, i % 2 ? "two.test" : "nobody.test", 1, ns.text, on_done, &o[i]), 0);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  for (int i = 0; i < N; i++) {
    assert_int_equal(o[i].done, 1);
    assert_int_equal(o[i].rc, i % 2 ? 0 : CAW_ENOTFOUND);
  }
  caw_loop_free(loop);
}

static void wrong_arguments(void **state) {
  char longest[IO_HOST_ROOM + 1];
  caw_loop *loop = kit_loop();
  io_lookup *l = NULL;
  outcome o = {0};
  (void)state;
  memset(longest, 'a', IO_HOST_ROOM);
  longest[IO_HOST_ROOM] = 0;
  assert_int_equal(io_resolve(&l, loop, "", 1, NULL, on_done, &o), CAW_EINVAL);
  assert_int_equal(io_resolve(&l, loop, longest, 1, NULL, on_done, &o), CAW_EINVAL);
  assert_int_equal(io_resolve(&l, loop, "a.test", 1, "not a server", on_done, &o), CAW_EINVAL);
  assert_int_equal(caw_loop_run(loop, CAW_LOOP_DEFAULT), 0);
  assert_int_equal(o.done, 0);
  caw_loop_free(loop);
}

static void blocking(void **state) {
  io_address a[4];
  const char *why = NULL;
  char text[IO_ADDRESS_TEXT];
  bool found = false;
  (void)state;
  int threads = kit_threads(), descriptors = kit_descriptors();
  int n = io_resolve_now("localhost", 7, a, 4, &why);
  if (n < 1) fail_msg("localhost: %d %s", n, why);
  for (int i = 0; i < n; i++) {
    io_address_format(text, &a[i]);
    if (!strcmp(text, "ipv4:127.0.0.1:7")) found = true;
  }
  assert_true(found);
  assert_int_equal(io_resolve_now("127.0.0.1", 7, a, 1, &why), 1);
  assert_int_equal(io_address_port(&a[0]), 7);
  assert_int_equal(io_resolve_now("", 7, a, 4, &why), CAW_EINVAL);
  assert_string_equal(why, "not a host name");
  assert_int_equal(kit_threads(), threads);
  assert_int_equal(kit_descriptors(), descriptors);
}

static void *block(void *arg) {
  io_address a;
  const char *why;
  (void)arg;
  return (void *)(intptr_t)io_resolve_now("localhost", 7, &a, 1, &why);
}

static void blocking_in_threads(void **state) {
  pthread_t threads[4];
  (void)state;
  for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, block, NULL), 0);
  for (int i = 0; i < 4; i++) {
    void *n;
    pthread_join(threads[i], &n);
    assert_int_equal((intptr_t)n, 1);
  }
}

static void out_of_memory(void **state) {
  (void)state;
  for (long n = 1;; n++) {
    outcome o = {0};
    io_lookup *l = NULL;
    kit_allocator(0);
    caw_loop *loop = kit_loop();
    kit_allocator_more(n);
    int rc = io_resolve(&l, loop, "two.test", 1, ns.text, on_done, &o);
    caw_loop_run(loop, CAW_LOOP_DEFAULT);
    bool refusal = kit_refused();
    assert_int_equal(o.done, rc ? 0 : 1);
    assert_int_equal(rc ? rc : o.rc, refusal ? CAW_ENOMEM : 0);
    caw_loop_free(loop);
    kit_allocator_done();
    if (!refusal) break;
    assert_in_range(n, 1, 20);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(blocking_in_threads), /* first: it starts c-ares in four threads */
      cmocka_unit_test(answers),
      cmocka_unit_test(localhost),
      cmocka_unit_test(silent_server),
      cmocka_unit_test(no_server),
      cmocka_unit_test(cancel),
      cmocka_unit_test(many_at_once),
      cmocka_unit_test(wrong_arguments),
      cmocka_unit_test(blocking),
      cmocka_unit_test(out_of_memory),
  };
  return cmocka_run_group_tests(tests, start_server, stop_server);
}
