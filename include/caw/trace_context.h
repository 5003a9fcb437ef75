/*
 * The trace that a call belongs to, as W3C's Trace Context has it: the metadata traceparent and
 * tracestate. Caw makes no spans and no ids. It hands on what came: a client's call with a
 * `parent` (caw_call_options) carries the traceparent of that server's call, and its tracestate,
 * unless its own metadata have a traceparent. A traceparent that breaks the rules, or came more
 * than once, is as none, and so is a tracestate then; a tracestate that breaks them goes alone.
 */
#ifndef CAW_TRACE_CONTEXT_H
#define CAW_TRACE_CONTEXT_H

#include <caw/call.h>
#include <caw/export.h>

CAW_BEGIN_DECLS

typedef struct caw_trace_context {
  caw_str traceparent; /* the whole, as it came */
  caw_str trace_id;    /* 32 hexadecimal digits, lower case, not all 0 */
  caw_str parent_id;   /* 16 of them: the caller's span */
  uint8_t flags;
  bool sampled; /* of the flags: the caller may have recorded it */
} caw_trace_context;

/*
 * Reads a traceparent (W3C Trace Context, 3.2.2): version 00 exactly, and of later versions what
 * 00 knows. The texts point into it. False, with *out zeroed, when it breaks the rules. Any
 * thread. Since 0.1.
 */
CAW_API bool caw_trace_context_parse(caw_trace_context *out, caw_str traceparent);

/* That of a server's call, as its metadata have it; as caw_call_metadata. False when there is none,
 * and on a client's call. Since 0.1. */
CAW_API bool caw_call_trace_context(const caw_call *call, caw_trace_context *out);

CAW_END_DECLS

#endif
