/*
 * The inside of caw_payload: the encoded message with gRPC's 5-byte prefix
 * (compressed flag, big-endian length) in front, so that one slice sends both.
 */
#ifndef RPC_PAYLOAD_H
#define RPC_PAYLOAD_H

#include "base/slice.h"

#include <caw/payload.h>
#include <stdatomic.h>

#define RPC_PREFIX 5 /* bytes; PROTOCOL-HTTP2.md, Length-Prefixed-Message */

struct caw_payload {
  atomic_uint refs;
  size_t len; /* of the message, without the prefix */
  uint8_t bytes[];
};

/* The framed bytes as a slice that holds a reference of its own. */
slice rpc_payload_slice(caw_payload *p);

/* What the payload takes on the wire. */
static inline size_t rpc_payload_size(const caw_payload *p) {
  return RPC_PREFIX + p->len;
}

#endif
