/* One loop of a server: its connections, and how they end. */
#include "server/server.h"

#include <unistd.h>

#define SECOND UINT64_C(1000000000)

/* How long the handlers of calls that were ended may take to finish. */
#define HANDLER_TIME SECOND

/* ---- Events of connections ---- */

static caw_call *on_open(void *owner, conn *c) {
  return server_call_new(owner, c);
}

static void on_closed(void *owner, conn *c, int rc, const char *why) {
  worker *w = owner;
  (void)rc;
  (void)why;
  list_remove(&c->node);
  io_loop_release(w->loop);
  w->refused += c->refused;
  atomic_fetch_sub(&w->load, 1);
  worker_check(w);
}

static const conn_events events = {on_open, NULL, NULL, NULL, on_closed, server_call_path};

void worker_accept(worker *w, int fd, caw_server_credentials *tls) {
  conn *c;
  const conn_config *config = &w->server->config;
  if (w->told_drained) { /* it was on its way here when the worker came to its end */
    close(fd);
    atomic_fetch_sub(&w->load, 1);
    return;
  }
  if (conn_adopt(&c, w->loop, fd, config, tls, config->h2.max_streams, &events, w)) {
    atomic_fetch_sub(&w->load, 1);
    worker_check(w);
    return;
  }
  list_push_back(&w->conns, &c->node);
  io_loop_hold(w->loop);
  if (w->draining) conn_drain(c);
}

/* ---- Draining ---- */

static void close_all(worker *w) {
  while (!list_empty(&w->conns))
    conn_close(LIST_ENTRY(w->conns.next, conn, node), CAW_ECLOSED, "the server is shutting down");
}

static void drained(worker *w, int rc) {
  w->told_drained = true;
  io_loop_release(w->loop);
  server_worker_drained(w, rc);
}

void worker_check(worker *w) {
  if (!w->draining || w->told_drained) return;
  if (!list_empty(&w->conns) || !list_empty(&w->calls) || atomic_load(&w->load)) return;
  io_timer_stop(&w->grace);
  drained(w, 0);
}

/* The grace is over: calls are ended. Half of the last second is for their
 * statuses to go out, the other half for their handlers. */
static void on_grace(io_timer *timer) {
  worker *w = LIST_ENTRY(timer, worker, grace);
  uint64_t now = io_now(w->loop);
  if (!w->aborted) {
    w->aborted = true;
    w->give_up_at = now + HANDLER_TIME;
    server_calls_abort(w);
    io_timer_start(&w->grace, now + HANDLER_TIME / 2);
  } else if (now < w->give_up_at || !list_empty(&w->conns)) {
    io_timer_start(&w->grace, w->give_up_at);
    close_all(w);
  } else if (!w->told_drained) {
    drained(w, list_empty(&w->calls) ? 0 : CAW_ETIMEDOUT);
  }
}

void worker_drain(worker *w, uint64_t grace_at) {
  if (!w->aborted) io_timer_start(&w->grace, grace_at);
  if (w->draining) return;
  w->draining = true;
  io_loop_hold(w->loop); /* until it is drained: the grace must be waited for */
  server_calls_shutdown(w);
  for (list *l = w->conns.next, *next; l != &w->conns; l = next) {
    next = l->next;
    conn_drain(LIST_ENTRY(l, conn, node));
  }
  worker_check(w);
}

/* ---- Life ---- */

int worker_init(worker *w, caw_server *server, caw_loop *loop) {
  w->server = server;
  w->loop = loop;
  list_init(&w->conns);
  list_init(&w->calls);
  atomic_init(&w->load, 0);
  int rc = server_stats_open(w);
  if (rc) return rc;
  rc = io_timer_init(&w->grace, loop, on_grace);
  if (rc) server_stats_close(w);
  return rc;
}

void worker_finish(worker *w) {
  if (!w->loop) return;
  if (w->draining && !w->told_drained) io_loop_release(w->loop);
  w->told_drained = true;
  close_all(w);
  io_timer_finish(&w->grace);
}
