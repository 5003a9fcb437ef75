/* The interceptors of spy.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "spy.h"

#include "conn/call.h"

#include <stdio.h>

CAW_PRINTF(2, 3)
static void note(const spy *s, const char *format, ...) {
  size_t len = strlen(s->log);
  va_list args;
  va_start(args, format);
  vsnprintf(s->log + len, s->room - len, format, args);
  va_end(args);
}

static int on_request(caw_call *call, void *user) {
  spy *s = user;
  note(s, "%c?;", s->letter);
  if (s->on_request) s->on_request(s, call);
  if (s->answer == CAW_PENDING) s->pending = call;
  return s->answer > 0 && s->text ? caw_call_fail(call, s->answer, "%s", s->text) : s->answer;
}

static void on_cancel(caw_call *call, void *user) {
  spy *s = user;
  assert_true(caw_call_cancelled(call));
  s->n_cancel++;
  note(s, "%c cancel;", s->letter);
}

static void on_headers(caw_call *call, void *user) {
  spy *s = user;
  note(s, "%c headers;", s->letter);
  if (s->on_headers) s->on_headers(s, call);
}

static void on_message(caw_call *call, const caw_message_info *m, void *user) {
  const spy *s = user;
  (void)call;
  note(s, "%c %s %zu;", s->letter, m->sent ? "out" : "in", m->size);
  assert_true(m->compressed || m->travels == m->size);
}

static void on_status(caw_call *call, caw_status *status, void *user) {
  spy *s = user;
  s->n_status++;
  note(s, "%c %s;", s->letter, caw_code_name(status->code));
  if (s->on_status) s->on_status(s, call, status);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  spy *s = user;
  s->n_done++;
  s->done_code = status->code;
  s->trailers_only = !call->rpc.headers_sent;
  note(s, "%c done;", s->letter);
}

const caw_interceptor spy_hooks = {sizeof(spy_hooks), on_request, on_cancel, on_headers,
                                   on_message,        on_status,  on_done};

static void set_up(pair *p, char *log, size_t room) {
  duo_init(&p->d);
  p->a.d = p->b.d = &p->d;
  p->a.letter = 'A';
  p->b.letter = 'B';
  p->a.log = p->b.log = log;
  p->a.room = p->b.room = room;
}

void pair_at_server(pair *p) {
  set_up(p, p->d.log, sizeof(p->d.log));
  assert_int_equal(caw_server_intercept(p->d.server, &spy_hooks, &p->a), 0);
  assert_int_equal(caw_server_intercept(p->d.server, &spy_hooks, &p->b), 0);
}

void pair_at_channel(pair *p) {
  set_up(p, p->journal, sizeof(p->journal));
  assert_int_equal(caw_channel_intercept(p->d.channel, &spy_hooks, &p->a), 0);
  assert_int_equal(caw_channel_intercept(p->d.channel, &spy_hooks, &p->b), 0);
}

void pair_until_pending(pair *p, const spy *s) {
  for (int i = 0; i < 100000 && !s->pending; i++) caw_loop_run(p->d.loop, CAW_LOOP_ONCE);
  assert_non_null(s->pending);
}
