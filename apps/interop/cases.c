/* The helpers of cases.h. */
#include "cases.h"
#include "text.h"
#include "zeros.h"

#include <stdarg.h>
#include <stdio.h>

bool case_fail(const interop *t, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  fflush(stdout);
  fprintf(stderr, "interop-client: %s: ", t->name);
  text_print(stderr, caw_str_from(text)); /* it may hold a status from the network */
  fputc('\n', stderr);
  return false;
}

bool case_outcome(const interop *t, const char *what, int rc, const caw_status *status, int code,
                  const char *message) {
  caw_str text = rc >= 0 ? status->message : caw_str_from(caw_strerror(rc));
  if (rc != code)
    return case_fail(t, "%s ended with %s%s%.*s, not with %s", what, caw_code_name(rc),
                     text.len ? ": " : "", CAW_STR_ARG(text), caw_code_name(code));
  if (message && !caw_str_is(text, message))
    return case_fail(t, "%s: the status's text is \"%.*s\", not \"%s\"", what, CAW_STR_ARG(text),
                     message);
  return true;
}

bool case_body(const interop *t, const char *what, caw_str body, int size) {
  if (body.len != (size_t)size)
    return case_fail(t, "%s: the payload has %zu bytes, not %d", what, body.len, size);
  return zeros_only(body) ? true : case_fail(t, "%s: the payload is not all zeros", what);
}

bool case_finish(const interop *t, const char *what, caw_stream *stream, int rc, int code,
                 const char *message) {
  caw_status status = {0};
  bool broken = rc && rc != CAW_ECLOSED && rc != CAW_EEND;
  if (broken) caw_call_cancel(caw_stream_call(stream));
  int ended = caw_stream_finish(stream, t->arena, &status);
  return case_outcome(t, what, broken ? rc : ended, &status, code, message);
}
