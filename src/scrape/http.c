/*
 * The listener of caw/metrics_http.h: connections with one request and one answer each. The
 * answer's pieces are made one in a turn of the loop, when the socket has taken the one before.
 */
#include "scrape/http.h"

#include "base/buf.h"
#include "io/resolver.h"
#include "io/socket.h"
#include "scrape/request.h"
#include "stats/metrics.h"

#include <caw/alloc.h>
#include <caw/metrics_http.h>
#include <caw/status.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND       UINT64_C(1000000000)
#define MOST_CONNS   16
#define REQUEST_ROOM 4096
#define ANSWER_TIME  (30 * SECOND)
#define LINGER_TIME  (2 * SECOND)
#define DISCARD_MOST ((size_t)64 * 1024) /* that comes after the request */

atomic_ullong scrape_request_time = 5 * SECOND;

typedef struct scrape {
  list node;
  caw_metrics_http *http;
  io_socket *socket;
  io_timer timer; /* for the step that it is at */
  io_task task;   /* makes and writes the next piece */
  char in[REQUEST_ROOM];
  size_t in_len, discarded;
  bool answered; /* the request was whole, or too long */
  bool chunked, more, begun;
  bool lingering; /* all is written */
  exposition page;
  buf out;
  size_t written; /* of `out` */
} scrape;

struct caw_metrics_http {
  caw_loop *loop;
  caw_metrics *metrics;
  io_listener *listeners[IO_TARGET_MAX];
  unsigned n_listeners, n_conns;
  list conns;
  char address[IO_ADDRESS_TEXT];
};

/* ---- The end ---- */

static void close_scrape(scrape *s) {
  list_remove(&s->node);
  s->http->n_conns--;
  io_task_cancel(&s->task);
  io_timer_finish(&s->timer);
  io_socket_close(s->socket);
  exposition_finish(&s->page);
  buf_finish(&s->out);
  caw_free(s);
}

static void on_timer(io_timer *timer) {
  close_scrape(LIST_ENTRY(timer, scrape, timer));
}

/* Our side is closed, and the peer has time to close his: a close with bytes unread would reset
 * the connection, and with it what is on its way. */
static void linger(scrape *s) {
  s->lingering = true;
  io_socket_shutdown(s->socket);
  io_socket_read(s->socket, true);
  io_timer_start(&s->timer, io_now(s->http->loop) + LINGER_TIME);
}

/* ---- The answer ---- */

static const char *words_of(int status) {
  switch (status) {
  case 200:
    return "OK";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  default:
    return "Bad Request";
  }
}

static void put_error(scrape *s, const request *r) {
  const char *words = words_of(r->status);
  buf_printf(&s->out,
             "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n%s"
             "Content-Length: %zu\r\nConnection: close\r\n\r\n",
             r->status, words, r->status == 405 ? "Allow: GET, HEAD\r\n" : "", strlen(words) + 1);
  if (!r->head) buf_printf(&s->out, "%s\n", words);
}

static void put_page(scrape *s, const request *r) {
  s->chunked = !r->old;
  s->more = !r->head;
  buf_printf(&s->out,
             "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n%s"
             "Connection: close\r\n\r\n",
             s->chunked ? "Transfer-Encoding: chunked\r\n" : "");
}

/* The next piece of the page, as a chunk if need be. False: memory is out. */
static bool put_piece(scrape *s) {
  buf piece = {0};
  if (!s->begun && exposition_begin(&s->page, s->http->metrics)) return false;
  s->begun = true;
  s->more = exposition_next(&s->page, &piece);
  if (s->chunked && piece.len) buf_printf(&s->out, "%zx\r\n", piece.len);
  buf_append(&s->out, piece.data, piece.len);
  if (s->chunked) buf_printf(&s->out, "%s%s", piece.len ? "\r\n" : "", s->more ? "" : "0\r\n\r\n");
  bool fine = !piece.failed && !s->out.failed;
  buf_finish(&piece);
  return fine;
}

/* Writes what there is; true when all of it is out. False: the rest waits for on_writable, or
 * *broken. */
static bool write_out(scrape *s, bool *broken) {
  while (s->written < s->out.len) {
    struct iovec part = {s->out.data + s->written, s->out.len - s->written};
    long n = io_socket_write(s->socket, &part, 1);
    *broken = n < 0;
    if (n < 0) return false;
    s->written += (size_t)n;
    if (io_socket_waits(s->socket)) return false;
  }
  s->out.len = s->written = 0;
  return true;
}

static void go_on(io_task *task) {
  scrape *s = LIST_ENTRY(task, scrape, task);
  bool broken = s->out.failed;
  if (!broken && s->out.len == s->written && s->more) broken = !put_piece(s);
  if (broken) { /* cut off, so that nobody takes it for the whole */
    close_scrape(s);
    return;
  }
  bool out = write_out(s, &broken);
  if (broken) close_scrape(s);
  else if (out && s->more) io_defer_costly(s->http->loop, &s->task);
  else if (out) linger(s);
}

static void answer(scrape *s, const request *r) {
  s->answered = true;
  io_socket_read(s->socket, false);
  io_timer_start(&s->timer, io_now(s->http->loop) + ANSWER_TIME);
  if (r->status == 200) put_page(s, r);
  else put_error(s, r);
  io_defer_costly(s->http->loop, &s->task);
}

/* ---- Events ---- */

static void on_connect(void *user, int rc) {
  (void)user;
  (void)rc;
}

static void on_read(void *user, const uint8_t *data, size_t len) {
  scrape *s = user;
  if (s->answered) {
    s->discarded += len;
    if (s->lingering && s->discarded > DISCARD_MOST) close_scrape(s);
    return;
  }
  size_t n = len < REQUEST_ROOM - s->in_len ? len : REQUEST_ROOM - s->in_len;
  memcpy(s->in + s->in_len, data, n);
  s->in_len += n;
  size_t head = request_length(s->in, s->in_len);
  request r = {.status = 400};
  if (head) request_read(&r, s->in, head);
  if (head || s->in_len == REQUEST_ROOM) answer(s, &r);
}

/* A client may close its side when it has asked. */
static void on_end(void *user, int rc) {
  scrape *s = user;
  if (rc != CAW_EEND || !s->answered || s->lingering) close_scrape(s);
}

static void on_writable(void *user) {
  scrape *s = user;
  if (!s->lingering) io_defer_costly(s->http->loop, &s->task);
}

static const io_socket_events events = {on_connect, on_read, on_end, on_writable};

/* Is there a place for another? Who has his answer and stays gives his up, or else the oldest of
 * those who have not asked: sixteen that do nothing keep nobody out. */
static bool make_room(caw_metrics_http *h) {
  scrape *idle = NULL;
  if (h->n_conns < MOST_CONNS) return true;
  for (list *l = h->conns.prev; l != &h->conns; l = l->prev) {
    scrape *s = LIST_ENTRY(l, scrape, node);
    if (s->lingering || (!s->answered && !(idle && idle->lingering))) idle = s;
  }
  if (idle) close_scrape(idle);
  return idle != NULL;
}

static void on_accept(void *user, int fd) {
  caw_metrics_http *h = user;
  scrape *s = make_room(h) ? caw_calloc(1, sizeof(*s)) : NULL;
  if (!s || io_timer_init(&s->timer, h->loop, on_timer)) {
    caw_free(s);
    close(fd);
    return;
  }
  if (io_socket_adopt(&s->socket, h->loop, fd, &events, s)) {
    io_timer_finish(&s->timer);
    caw_free(s);
    close(fd);
    return;
  }
  s->http = h;
  io_task_init(&s->task, go_on);
  list_push_back(&h->conns, &s->node);
  h->n_conns++;
  io_timer_start(&s->timer, io_now(h->loop) + atomic_load(&scrape_request_time));
  io_socket_read(s->socket, true);
}

/* ---- Life ---- */

CAW_PRINTF(4, 5) static int fail(int rc, char *why, size_t room, const char *format, ...) {
  va_list args;
  va_start(args, format);
  if (room) vsnprintf(why, room, format, args);
  va_end(args);
  return rc;
}

/* As a target, without gRPC's "ipv4:" and "ipv6:". */
static void note_address(caw_metrics_http *h) {
  char text[IO_ADDRESS_TEXT];
  io_address_format(text, io_listener_address(h->listeners[0]));
  bool ip = !strncmp(text, "ipv4:", 5) || !strncmp(text, "ipv6:", 5);
  snprintf(h->address, sizeof(h->address), "%s", ip ? text + 5 : text);
}

static int listen_on(caw_metrics_http *h, io_target *t, const char *address, char *why,
                     size_t room) {
  for (unsigned i = 0; i < t->count; i++) {
    /* Port 0 of a name with several addresses: all get what the first got. */
    if (i && !io_address_port(&t->addresses[i]))
      io_address_set_port(&t->addresses[i], io_address_port(io_listener_address(h->listeners[0])));
    errno = 0;
    int rc = io_listener_new(&h->listeners[i], h->loop, &t->addresses[i], on_accept, h);
    int err = errno;
    if (rc)
      return fail(rc, why, room, "cannot serve metrics on %s: %s", address,
                  err ? strerror(err) : caw_strerror(rc));
    h->n_listeners++;
  }
  note_address(h);
  return 0;
}

int caw_metrics_http_new(caw_metrics_http **out, caw_loop *loop, caw_metrics *metrics,
                         const char *address, char *why, size_t room) {
  io_target target;
  const char *reason = "";
  int rc = io_target_parse(&target, caw_str_from(address), true, &reason);
  if (!rc && target.host[0]) {
    rc = io_resolve_now(target.host, target.port, target.addresses, IO_TARGET_MAX, &reason);
    target.count = rc > 0 ? (unsigned)rc : 0;
    if (rc > 0) rc = 0;
  }
  if (rc) return fail(rc, why, room, "cannot serve metrics on %s: %s", address, reason);
  caw_metrics_http *h = caw_calloc(1, sizeof(*h));
  if (!h) return fail(CAW_ENOMEM, why, room, "%s", caw_strerror(CAW_ENOMEM));
  h->loop = loop;
  h->metrics = caw_metrics_ref(metrics);
  list_init(&h->conns);
  rc = listen_on(h, &target, address, why, room);
  if (rc) {
    caw_metrics_http_free(h);
    return rc;
  }
  *out = h;
  return 0;
}

const char *caw_metrics_http_address(const caw_metrics_http *h) {
  return h->address;
}

void caw_metrics_http_free(caw_metrics_http *h) {
  if (!h) return;
  io_loop_adopt(h->loop);
  for (unsigned i = 0; i < h->n_listeners; i++) io_listener_close(h->listeners[i]);
  while (!list_empty(&h->conns)) close_scrape(LIST_ENTRY(h->conns.next, scrape, node));
  caw_metrics_unref(h->metrics);
  caw_free(h);
}
