/* The metadata of W3C's Trace Context: what of them may be handed on. */
#ifndef RPC_TRACING_H
#define RPC_TRACING_H

#include "rpc/metadata.h"

#include <stdint.h>

/* The one traceparent among the metadata; false when there is none, another, or a bad one. */
bool rpc_traceparent(const caw_metadata *m, caw_str *traceparent);

/* Is this one in order (3.2.2)? */
bool rpc_traceparent_valid(caw_str traceparent);

/* Are the entries of tracestate, which make up one list, in order (3.3.1)? Not without any. */
bool rpc_tracestate_valid(const caw_metadata *m);

/* Adds what a call passes on of the call it is made for, unless `to` has a traceparent. 0 or
 * CAW_ENOMEM. */
int rpc_trace_pass(rpc_metadata *to, caw_arena *arena, const caw_metadata *from);

#endif
