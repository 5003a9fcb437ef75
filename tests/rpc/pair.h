/*
 * Two ends of a connection in memory, for tests of the gRPC core: one end is an
 * rpc_session under test, the other a bare HTTP/2 session that a test makes say
 * whatever it likes. Bytes go across in chunks of a chosen size.
 */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include "rpc/call.h"

#include <caw/arena.h>

#define PAIR_TEXT 4096

typedef struct pair {
  bool server;      /* the end under test is a server */
  size_t chunk;     /* bytes given at a time; 0: all there are */
  size_t to_tested; /* bytes that went to the end under test */
  int failed;       /* what h2_recv of the tested end returned first */

  rpc_session tested;
  h2_session *bare;
  caw_arena *arena; /* of `call` */
  rpc_call call;    /* the one call */
  bool opened;
  unsigned news; /* all bits so far */
  size_t sent;   /* RPC_NEWS_SENT in sum */
  bool ready, goaway;
  size_t limit;                /* largest message; set before the call is made */
  const caw_metadata *secrets; /* of the request; as well */

  /* What the bare end saw of the call, and its stream. */
  h2_stream *stream;
  char headers[PAIR_TEXT], trailers[PAIR_TEXT]; /* "name: value\n" */
  char secret[PAIR_TEXT];                       /* "name;" of those that may be put into no table */
  char body[PAIR_TEXT];
  size_t body_len;
  bool leading_done, ended, closed;
  uint32_t code;
} pair;

/* Connects both ends; `server` says which role is tested. */
void pair_init(pair *p, bool server, size_t chunk);
void pair_finish(pair *p);

/* Carries bytes both ways until nothing moves. */
void pair_run(pair *p);

/* The bare client's request; the fields end with one of an empty name. */
void pair_request(pair *p, const h2_field *fields);
/* The bare end sends payload bytes. */
void pair_data(pair *p, const void *data, size_t len);
/* A message with its 5-byte prefix. */
void pair_message(pair *p, const char *text);
/* The bare server's leading fields; the bare end's end, with trailers. */
void pair_respond(pair *p, const h2_field *fields);
void pair_end(pair *p, const h2_field *trailers);

/* The tested client opens its call. */
void pair_open(pair *p, uint64_t timeout, const caw_metadata *metadata);

/* The text of the next message of the tested call, or what stands there
 * instead: "(nothing)", "(end)", "(error CODE why)". In a static buffer. */
const char *pair_next(pair *p);

#endif
