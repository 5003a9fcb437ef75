/*
 * caw_payload: one encoded message that can be sent on any number of calls, on
 * any loops, without being encoded or copied again. It is immutable and
 * atomically counted. Fan-out is built on it.
 */
#ifndef CAW_PAYLOAD_H
#define CAW_PAYLOAD_H

#include <caw/codec.h>
#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

typedef struct caw_payload caw_payload;

/*
 * Encodes `message` of `type` into a payload with one reference, the caller's.
 * The message is not needed afterwards. Returns 0, CAW_ENOMEM, CAW_ETOOBIG
 * (over 4 GiB - 1, the limit of gRPC's framing) or an error of the codec.
 * Any thread. Since 0.1.
 */
CAW_API int caw_payload_new(caw_payload **out, const caw_type *type, const void *message);

/* Adds a reference and returns `payload`. Any thread. Since 0.1. */
CAW_API caw_payload *caw_payload_ref(caw_payload *payload);

/* Gives a reference back; the last one frees. NULL is fine. Any thread.
 * Since 0.1. */
CAW_API void caw_payload_unref(caw_payload *payload);

/* The encoded bytes, without gRPC's frame; live as long as the payload. Any
 * thread. Since 0.1. */
CAW_API caw_str caw_payload_bytes(const caw_payload *payload);

CAW_END_DECLS

#endif
