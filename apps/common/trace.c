/* The tracing interceptor of trace.h. */
#include "trace.h"

#include "text.h"

#include <stdatomic.h>
#include <stdlib.h>

/* What is known of a call since it began; the call carries it as a value. */
typedef struct trace {
  unsigned long number; /* to tell calls apart */
  uint64_t began;
  unsigned long sent, received;
} trace;

static const caw_key trace_key = {"trace", free};

static void begin_line(FILE *out, const caw_call *call) {
  const trace *t = caw_call_value(call, &trace_key);
  flockfile(out);
  if (t) fprintf(out, "call %lu ", t->number);
  text_print(out, caw_call_path(call));
}

static void end_line(FILE *out) {
  putc('\n', out);
  fflush(out);
  funlockfile(out);
}

/* Metadata are counted, never written: they hold tokens. */
static int on_request(caw_call *call, void *user) {
  static atomic_ulong last; /* a server may have several loops */
  trace *t = calloc(1, sizeof(*t));
  if (!t) return CAW_ENOMEM;
  t->number = atomic_fetch_add(&last, 1) + 1;
  t->began = caw_loop_now(caw_call_loop(call));
  int rc = caw_call_set_value(call, &trace_key, t);
  if (rc) {
    free(t);
    return rc;
  }
  begin_line(user, call);
  fprintf(user, ": begins, %zu metadata", caw_call_metadata_of(call, CAW_REQUEST_METADATA)->len);
  end_line(user);
  return 0;
}

static void on_headers(caw_call *call, void *user) {
  begin_line(user, call);
  fprintf(user, ": headers, %zu metadata", caw_call_metadata_of(call, CAW_RESPONSE_HEADERS)->len);
  end_line(user);
}

static void on_message(caw_call *call, const caw_message_info *m, void *user) {
  trace *t = caw_call_value(call, &trace_key);
  if (!t) return;
  unsigned long n = m->sent ? ++t->sent : ++t->received;
  begin_line(user, call);
  fprintf(user, ": %s message %lu of %zu bytes", m->sent ? "sends" : "received", n, m->size);
  if (m->compressed) fprintf(user, ", compressed to %zu", m->travels);
  end_line(user);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  const trace *t = caw_call_value(call, &trace_key);
  begin_line(user, call);
  fprintf(user, ": ends with %s", caw_code_name(status->code));
  if (t)
    fprintf(user, " after %.3f ms, sent %lu, received %lu",
            (double)(caw_loop_now(caw_call_loop(call)) - t->began) / 1e6, t->sent, t->received);
  if (status->message.len) {
    fputs(": ", user);
    text_print(user, status->message);
  }
  end_line(user);
}

const caw_interceptor trace_interceptor = {
    .size = sizeof(trace_interceptor),
    .on_request = on_request,
    .on_headers = on_headers,
    .on_message = on_message,
    .on_done = on_done,
};
