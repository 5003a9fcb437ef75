/* The trace context of calls (caw/trace_context.h). */
#include "rpc/tracing.h"

#include "conn/call.h"

#include <caw/trace_context.h>

static unsigned hex(char c) {
  return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

bool caw_trace_context_parse(caw_trace_context *out, caw_str t) {
  *out = (caw_trace_context){0};
  if (!rpc_traceparent_valid(t)) return false;
  out->traceparent = t;
  out->trace_id = caw_str_of(t.data + 3, 32);
  out->parent_id = caw_str_of(t.data + 36, 16);
  out->flags = (uint8_t)(hex(t.data[53]) << 4 | hex(t.data[54]));
  out->sampled = out->flags & 1;
  return true;
}

bool caw_call_trace_context(const caw_call *call, caw_trace_context *out) {
  caw_str t = {NULL, 0};
  if (call->cls->server) rpc_traceparent(&call->rpc.headers.list, &t);
  return caw_trace_context_parse(out, t);
}
