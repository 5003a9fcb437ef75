/*
 * The inside of caw_payload: the encoded message with gRPC's 5-byte prefix
 * (compressed flag, big-endian length) in front, so that one slice sends both.
 * Its compressed forms are payloads too, which it keeps once they were asked for.
 */
#ifndef RPC_PAYLOAD_H
#define RPC_PAYLOAD_H

#include "base/cells.h"
#include "base/slice.h"

#include <caw/compression.h>
#include <caw/payload.h>
#include <stdatomic.h>

#define RPC_PREFIX 5 /* bytes; PROTOCOL-HTTP2.md, Length-Prefixed-Message */

struct caw_payload {
  atomic_uint refs;
  caw_encoding encoding;         /* of a compressed form */
  _Atomic(caw_payload *) formed; /* the first of its compressed forms, each with a reference */
  caw_payload *next;             /* of a compressed form: the next */
  cells *from;                   /* where its memory came from, or NULL: malloc */
  size_t len;                    /* of the message, without the prefix */
  size_t plain;                  /* of a compressed form: of the message before */
  uint8_t bytes[];
};

/* caw_payload_new from the cells of a loop: for a payload that nobody outside of its
 * thread sees. */
int rpc_payload_new(caw_payload **out, cells *from, const caw_type *type, const void *message);

/* The framed bytes as a slice that holds a reference of its own. */
slice rpc_payload_slice(caw_payload *p);

/*
 * The compressed form, borrowed from the payload, or the payload itself when
 * that would not be smaller; made at the first call and kept. Returns 0 or
 * CAW_ENOMEM. Any thread; of two that ask at the same time for the first time
 * both compress, and one's work is thrown away.
 */
int rpc_payload_compressed(caw_payload **out, caw_payload *p, caw_encoding encoding);

/* The bytes of the message that the payload is, or is a form of. */
static inline size_t rpc_payload_plain(const caw_payload *p) {
  return p->encoding > CAW_ENCODING_IDENTITY ? p->plain : p->len;
}

/* What the payload takes on the wire. */
static inline size_t rpc_payload_size(const caw_payload *p) {
  return RPC_PREFIX + p->len;
}

#endif
