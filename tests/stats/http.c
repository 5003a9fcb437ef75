/* The endpoint for Prometheus: its answers, and what it does to those who want too much. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "failing.h"
#include "scrape/http.h"
#include "stats/metrics.h"

#include <arpa/inet.h>
#include <caw/alloc.h>
#include <caw/metrics_http.h>
#include <caw/status.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct stage {
  caw_loop *loop;
  caw_metrics *metrics;
  caw_metrics_http *http;
} stage;

static void stage_open(stage *s) {
  char why[200] = "";
  assert_int_equal(caw_loop_new(&s->loop), 0);
  assert_int_equal(caw_metrics_new(&s->metrics), 0);
  if (caw_metrics_http_new(&s->http, s->loop, s->metrics, "127.0.0.1:0", why, sizeof(why)))
    fail_msg("%s", why);
}

static void stage_close(stage *s) {
  caw_metrics_http_free(s->http);
  caw_metrics_unref(s->metrics);
  caw_loop_free(s->loop);
}

static int dial(const stage *s) {
  const char *address = caw_metrics_http_address(s->http);
  struct sockaddr_in to = {.sin_family = AF_INET,
                           .sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1)),
                           .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
  assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
  return fd;
}

static void ask(int fd, const char *text) {
  assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads to the end, with the loop's turns between, 20 s at most. Returns the bytes, or -1 for a
 * connection that was reset. */
static long take_all(const stage *s, int fd, char *out, size_t room) {
  size_t len = 0;
  for (time_t until = time(NULL) + 20; time(NULL) < until;) {
    caw_loop_run(s->loop, CAW_LOOP_NOWAIT);
    ssize_t n = recv(fd, out + len, room - 1 - len, 0);
    if (n > 0) len += (size_t)n;
    if (n == 0) {
      out[len] = '\0';
      return (long)len;
    }
    if (n < 0 && errno != EAGAIN) return -1;
  }
  fail_msg("the connection does not end");
  return 0;
}

static char page[1 << 20];

static void assert_begins(const char *text, const char *begin) {
  if (strncmp(text, begin, strlen(begin)) != 0) fail_msg("\"%s\" is not \"%s...\"", text, begin);
}

static void each_request_has_its_answer(void **state) {
  static const struct {
    const char *request, *begin, *has, *end;
  } cases[] = {
      {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n",
       "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n", "\r\n0\r\n\r\n"},
      {"GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\n# HELP grpc_server_call",
       "} 1\n"},
      {"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\n",
       "Transfer-Encoding: chunked\r\n", "\r\n\r\n"},
      {"GET /other HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "Content-Length: 10\r\n",
       "\r\n\r\nNot Found\n"},
      {"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 405 ",
       "Allow: GET, HEAD\r\n", "Method Not Allowed\n"},
      {"HEAD /other HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 ", "Content-Length: 10\r\n",
       "\r\n\r\n"},
      {"rubbish\r\n\r\n", "HTTP/1.1 400 ", "Connection: close\r\n", "Bad Request\n"},
  };
  stage s;
  (void)state;
  stage_open(&s);
  metrics_table *t = metrics_open(s.metrics, NULL);
  metrics_began(metrics_row_of(t, caw_str_from("s/m")));
  metrics_ended(metrics_row_of(t, caw_str_from("s/m")), 0, 1, 0, 0);
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    int fd = dial(&s);
    ask(fd, cases[i].request);
    long n = take_all(&s, fd, page, sizeof(page));
    close(fd);
    if (n < 0) fail_msg("%s: reset", cases[i].request);
    assert_begins(page, cases[i].begin);
    size_t end = strlen(cases[i].end);
    if (!strstr(page, cases[i].has))
      fail_msg("%s: no \"%s\" in %s", cases[i].request, cases[i].has, page);
    if ((size_t)n < end || strcmp(page + n - end, cases[i].end) != 0)
      fail_msg("%s: ends otherwise: %s", cases[i].request, page);
  }
  metrics_close(t);
  stage_close(&s);
}

static void a_request_may_come_in_pieces(void **state) {
  static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
  stage s;
  (void)state;
  stage_open(&s);
  int fd = dial(&s);
  for (size_t i = 0; i < sizeof(request) - 1; i++) {
    assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
    caw_loop_run(s.loop, CAW_LOOP_NOWAIT);
  }
  take_all(&s, fd, page, sizeof(page));
  assert_begins(page, "HTTP/1.1 200 OK\r\n");
  close(fd);
  stage_close(&s);
}

static void a_request_has_its_size(void **state) {
  stage s;
  (void)state;
  stage_open(&s);
  int fd = dial(&s);
  memset(page, 'x', 5000);
  page[5000] = '\0';
  ask(fd, page);
  take_all(&s, fd, page, sizeof(page));
  assert_begins(page, "HTTP/1.1 400 Bad Request\r\n");
  close(fd);
  stage_close(&s);
}

static void a_request_has_its_time(void **state) {
  stage s;
  (void)state;
  atomic_store(&scrape_request_time, 50 * 1000000u);
  stage_open(&s);
  int fd = dial(&s);
  ask(fd, "GET /metrics HTTP/1.1\r\n");
  long n = take_all(&s, fd, page, sizeof(page));
  assert_int_equal(n, 0);
  close(fd);
  stage_close(&s);
  atomic_store(&scrape_request_time, 5000 * UINT64_C(1000000));
}

static const char get[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

/* So many series that no socket takes their text at once. */
static metrics_table *count_many(const stage *s) {
  char name[32];
  metrics_table *t = metrics_open(s->metrics, NULL);
  for (int i = 0; i < 100; i++) {
    snprintf(name, sizeof(name), "s/m%d", i);
    for (int code = 0; code < 17; code++)
      metrics_ended(metrics_row_of(t, caw_str_from(name)), code, 1, 1, 1);
  }
  return t;
}

static void so_many_come_at_once_and_no_more(void **state) {
  int fds[17];
  stage s;
  (void)state;
  stage_open(&s);
  metrics_table *t = count_many(&s);
  for (int i = 0; i < 17; i++) {
    fds[i] = dial(&s);
    if (i < 16) ask(fds[i], get);
    for (int k = 0; k < 20; k++) caw_loop_run(s.loop, CAW_LOOP_NOWAIT);
  }
  assert_int_equal(take_all(&s, fds[16], page, sizeof(page)), 0); /* closed at once */
  close(fds[0]);
  close(fds[16]);
  for (int k = 0; k < 2000; k++) caw_loop_run(s.loop, CAW_LOOP_NOWAIT);
  fds[0] = dial(&s); /* a place is free again */
  ask(fds[0], "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  take_all(&s, fds[0], page, sizeof(page));
  assert_begins(page, "HTTP/1.1 404 Not Found\r\n");
  for (int i = 0; i < 16; i++) close(fds[i]);
  metrics_close(t);
  stage_close(&s);
}

/* Who does not ask, or has his answer and stays, keeps nobody out who comes to ask. */
static void who_is_idle_makes_room(void **state) {
  for (int asked = 0; asked < 2; asked++) {
    int fds[17];
    stage s;
    (void)state;
    stage_open(&s);
    for (int i = 0; i < 17; i++) {
      fds[i] = dial(&s);
      if (asked || i == 16) ask(fds[i], get);
      for (int k = 0; k < 20; k++) caw_loop_run(s.loop, CAW_LOOP_NOWAIT);
    }
    take_all(&s, fds[16], page, sizeof(page));
    assert_begins(page, "HTTP/1.1 200 OK\r\n");
    if (!asked) assert_int_equal(take_all(&s, fds[0], page, sizeof(page)), 0); /* the oldest */
    for (int i = 0; i < 17; i++) close(fds[i]);
    stage_close(&s);
  }
}

/* A page of a thousand series and more is made as it is read, and comes whole. */
static void a_large_page_comes_in_chunks(void **state) {
  stage s;
  static char big[16 << 20];
  (void)state;
  stage_open(&s);
  metrics_table *t = count_many(&s);
  int fd = dial(&s);
  ask(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
  for (int i = 0; i < 100; i++) caw_loop_run(s.loop, CAW_LOOP_NOWAIT); /* it does not read */
  long n = take_all(&s, fd, big, sizeof(big));
  assert_true(n > 10000000);
  close(fd);
  caw_str text;
  assert_int_equal(caw_metrics_text(s.metrics, &text), 0);
  const char *p = strstr(big, "\r\n\r\n") + 4;
  size_t at = 0, chunks = 0;
  for (;; chunks++) {
    char *body;
    size_t len = strtoul(p, &body, 16);
    assert_memory_equal(body, "\r\n", 2);
    if (!len) break;
    assert_true(len < 40000);
    assert_true(at + len <= text.len);
    assert_memory_equal(body + 2, text.data + at, len);
    at += len;
    p = body + 2 + len;
    assert_memory_equal(p, "\r\n", 2);
    p += 2;
  }
  assert_int_equal(at, text.len);
  assert_true(chunks > 100);
  caw_free((char *)text.data);
  metrics_close(t);
  stage_close(&s);
}

static void an_address_is_checked(void **state) {
  stage s;
  caw_metrics_http *http;
  char why[200];
  (void)state;
  stage_open(&s);
  assert_int_equal(caw_metrics_http_new(&http, s.loop, s.metrics, "nonsense", why, sizeof(why)),
                   CAW_EADDR);
  assert_begins(why, "cannot serve metrics on nonsense: ");
  assert_int_equal(caw_metrics_http_new(&http, s.loop, s.metrics, caw_metrics_http_address(s.http),
                                        why, sizeof(why)),
                   CAW_EADDRINUSE);
  assert_begins(why, "cannot serve metrics on 127.0.0.1:");
  assert_int_equal(caw_metrics_http_new(&http, s.loop, s.metrics, "localhost:0", why, sizeof(why)),
                   0);
  caw_metrics_http_free(http);
  caw_metrics_http_free(NULL);
  stage_close(&s);
}

/* Freed while connections are at every step. */
static void it_may_go_at_any_time(void **state) {
  stage s;
  (void)state;
  for (int steps = 0; steps < 12; steps++) {
    stage_open(&s);
    int a = dial(&s), b = dial(&s);
    ask(a, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    for (int i = 0; i < steps; i++) caw_loop_run(s.loop, CAW_LOOP_NOWAIT);
    stage_close(&s);
    close(a);
    close(b);
  }
}

/* Each allocation of an answer fails once: the connection ends, or the page is whole. */
static void out_of_memory_ends_a_connection(void **state) {
  static const char whole[] = "0\r\n\r\n";
  (void)state;
  for (long n = 1;; n++) {
    stage s;
    stage_open(&s);
    metrics_table *t = metrics_open(s.metrics, NULL);
    metrics_ended(metrics_row_of(t, caw_str_from("s/m")), 0, 1, 0, 0);
    int fd = dial(&s);
    ask(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    fail_at(n);
    long len = take_all(&s, fd, page, sizeof(page));
    bool failed = failing.failed;
    fail_at(0);
    bool complete = len > 5 && !strcmp(page + len - (sizeof(whole) - 1), whole);
    if (!complete && !failed) fail_msg("without a failure the page is cut");
    close(fd);
    metrics_close(t);
    stage_close(&s);
    assert_int_equal(failing.live, 0);
    if (!failed) {
      assert_true(n > 5);
      return;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_request_has_its_answer),
                                     cmocka_unit_test(a_request_may_come_in_pieces),
                                     cmocka_unit_test(a_request_has_its_size),
                                     cmocka_unit_test(a_request_has_its_time),
                                     cmocka_unit_test(so_many_come_at_once_and_no_more),
                                     cmocka_unit_test(who_is_idle_makes_room),
                                     cmocka_unit_test(a_large_page_comes_in_chunks),
                                     cmocka_unit_test(an_address_is_checked),
                                     cmocka_unit_test(it_may_go_at_any_time),
                                     failing_test(out_of_memory_ends_a_connection)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
