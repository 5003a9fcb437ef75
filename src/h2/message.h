/*
 * What makes a sequence of header blocks and payload an HTTP request or response
 * (RFC 9113 section 8). Pure functions of what came so far; that a malformed
 * message is a stream error is for others to say.
 */
#ifndef H2_MESSAGE_H
#define H2_MESSAGE_H

#include "h2/h2.h"

/* What has come of a peer's message. */
typedef struct h2_message {
  uint32_t seen;       /* bits of tokens that may stand once */
  uint16_t status;     /* response: its :status; 0: none */
  bool leading : 1;    /* the leading block is complete; what follows are trailers */
  bool regular : 1;    /* a field came that is no pseudo-header field */
  bool connect : 1;    /* request: the method is CONNECT */
  bool options : 1;    /* request: the method is OPTIONS */
  bool asterisk : 1;   /* request: the path is "*" */
  bool slash : 1;      /* request: the path begins with "/" */
  bool web : 1;        /* request: the scheme is http or https */
  bool to_head : 1;    /* response: the request's method was HEAD */
  bool to_connect : 1; /* response: the request's method was CONNECT */
  int64_t left;        /* payload that is to come, by content-length; -1: nobody said */
} h2_message;

/* A message begins. */
void message_begin(h2_message *m);

/* The same for a field that has rules of its own; see message_field. */
bool message_rule(h2_message *m, h2_role reader, const h2_field *f);

/* Known names that have no rules. */
#define MESSAGE_FREE                                                                               \
  (1u << H2_T_ACCEPT_ENCODING | 1u << H2_T_AUTHORIZATION | 1u << H2_T_CONTENT_TYPE |               \
   1u << H2_T_COOKIE | 1u << H2_T_DATE | 1u << H2_T_GRPC_ACCEPT_ENCODING |                         \
   1u << H2_T_GRPC_ENCODING | 1u << H2_T_GRPC_MESSAGE | 1u << H2_T_GRPC_STATUS |                   \
   1u << H2_T_GRPC_STATUS_DETAILS_BIN | 1u << H2_T_GRPC_TIMEOUT | 1u << H2_T_USER_AGENT)
_Static_assert(H2_TOKENS <= 32, "a bit for each token");

/* A field of the block that is being read; false: the message is malformed. */
static inline bool message_field(h2_message *m, h2_role reader, const h2_field *f) {
  if (!(1u << f->token & MESSAGE_FREE) || (f->flags & H2_FIELD_INVALID))
    return message_rule(m, reader, f);
  m->regular = true;
  return true;
}

/* The block is complete; `end`: nothing follows it. False: malformed. Sets
 * *informational for a response whose status is 1xx. */
bool message_block(h2_message *m, h2_role reader, bool end, bool *informational);

/* Payload comes; false: more than content-length, or out of place. */
bool message_data(h2_message *m, size_t len);

/* The message ends; false: less than content-length came. */
bool message_end(const h2_message *m);

/* A request of ours: notes what its response depends on. */
void message_asked(h2_message *m, const h2_field *fields, size_t n);

#endif
