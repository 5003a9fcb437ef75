/*
 * One call as the gRPC protocol sees it, on either side: header sets, message
 * framing, trailers, status. It stands between an HTTP/2 session, whose events
 * it takes as notes, and an owner, who takes the notes when the session has
 * returned. No I/O, no clock, no thread, no message types.
 *
 * The owner learns by session->events.on_event that a call has news, and asks
 * with rpc_call_* for what they are. User code never runs below this line.
 */
#ifndef RPC_CALL_H
#define RPC_CALL_H

#include "base/arena.h"
#include "base/buf.h"
#include "h2/h2.h"
#include "rpc/caller.h"
#include "rpc/compress.h"
#include "rpc/deframe.h"
#include "rpc/metadata.h"
#include "rpc/payload.h"

#include <caw/compression.h>
#include <caw/status.h>

typedef struct rpc_session rpc_session;
typedef struct rpc_call rpc_call;

/* The life of a call (RFC 9113 5.1, seen from gRPC). */
typedef enum rpc_state {
  RPC_IDLE,               /* no stream yet */
  RPC_OPEN,               /* both sides may send */
  RPC_HALF_CLOSED_LOCAL,  /* our last message or trailers are queued */
  RPC_HALF_CLOSED_REMOTE, /* the peer has ended */
  RPC_CLOSING,            /* both ended, or reset: the stream is being closed */
  RPC_DONE                /* the stream is gone; the last state */
} rpc_state;

/* News, as bits. */
enum {
  RPC_NEWS_HEADERS = 1, /* leading metadata complete (server: the request) */
  RPC_NEWS_DATA = 2,    /* message bytes came, or the peer ended */
  RPC_NEWS_SENT = 4,    /* payload left the queue: see rpc_call.sent_bytes */
  RPC_NEWS_CLOSED = 8   /* the stream is gone */
};

struct rpc_call {
  rpc_session *session; /* NULL before and after the stream */
  h2_stream *stream;    /* NULL before and after the stream */
  uint8_t state;        /* rpc_state */
  uint8_t news;         /* bits since rpc_call_take_news */
  uint8_t in_encoding;  /* of received messages that say they are compressed */
  uint8_t out_encoding; /* of messages that we send, until the headers went */
  bool server : 1;
  bool headers_sent : 1;     /* server: the response's leading fields */
  bool headers_received : 1; /* the leading header block is complete */
  bool trailers_only : 1;    /* client: it was the trailers */
  bool remote_ended : 1;     /* END_STREAM came */
  bool paused : 1;           /* give no window back */
  bool withheld : 1;         /* the same, for the owner's reasons */
  bool faulty : 1;           /* the owner ended it for what the peer did wrong */
  bool over_memory : 1;      /* there is no memory for the rest of a message */
  bool awaits_end : 1;       /* h2_await_end was called */
  bool out_of_memory : 1;    /* a note was lost */
  bool bad_metadata : 1;     /* base64 of a "-bin" value was malformed */
  bool dropped_fields : 1;   /* header fields beyond the soft limit */
  bool grpc_content : 1;     /* content-type is gRPC */
  bool has_status : 1;       /* client: grpc-status came */
  bool status_final : 1;     /* client: `status` is decided */
  bool close_remote : 1;     /* the peer reset the stream */
  bool took_compressed : 1;  /* the message that was taken last came compressed */
  bool taken : 1;            /* what the inflater has is the message that was taken last */
  bool own_arena : 1;        /* `arena` was not given, and is freed with the call */
  bool is_post : 1;          /* server: :method */
  bool bad_te : 1;           /* server: te said something else than trailers */
  bool bad_timeout : 1;      /* server: grpc-timeout is malformed */
  bool says_encoding : 1;    /* server: grpc-encoding came; in_encoding is 0 if unknown */
  bool agent_shared : 1;     /* server: the user agent among the headers is the caller's */
  uint8_t accepts;           /* server: encodings of the reply, a bit (1 << encoding) each */
  uint32_t close_code;       /* why the stream was closed, HTTP/2 */
  uint32_t held;             /* received bytes whose window is kept back */
  size_t sent_bytes;         /* payload framed since rpc_call_take_news */

  caw_arena *arena; /* metadata and status texts go there: rpc_call_arena */
  rpc_deframer in;
  rpc_inflater *inflater;         /* of the next message, or the last; NULL: none is compressed */
  rpc_metadata headers, trailers; /* received */
  uint64_t timeout;               /* server: grpc-timeout, ns; UINT64_MAX: none */
  union {
    struct {              /* server: the request's own fields */
      rpc_caller *caller; /* who lends us texts, or NULL */
      caw_str path, authority, subtype;
    };
    struct {             /* client: the response's */
      caw_status status; /* the outcome */
      unsigned http_status;
    };
  };
};

/* Prepares a call. `arena` outlives it; NULL: it has one of its own, made when it is
 * needed. `limit` is the largest message. */
void rpc_call_init(rpc_call *c, bool server, caw_arena *arena, size_t limit);

/* Frees what the call holds. Its stream must be gone (RPC_DONE or RPC_IDLE). */
void rpc_call_finish(rpc_call *c);

/* For what lives as long as the call; loop's thread. Never NULL: see arena_at. */
caw_arena *rpc_call_arena(rpc_call *c);

/* Makes a client's call ready to be opened once more on another session. */
void rpc_call_rewind(rpc_call *c);

/* Returns and clears the news. */
unsigned rpc_call_take_news(rpc_call *c);

/* What a client says when it opens a call. */
typedef struct rpc_request {
  caw_str scheme, authority, path, user_agent;
  uint64_t timeout; /* nanoseconds from now; UINT64_MAX: none */
  const caw_metadata *metadata;
  const caw_metadata *secrets; /* as metadata, never in a compression table; NULL: none */
} rpc_request;

/* Client: opens the call. 0, CAW_ENOMEM, CAW_EAGAIN, CAW_ECLOSED as h2_request. */
int rpc_call_open(rpc_call *c, rpc_session *s, const rpc_request *request);

/* Queues a message. On a server, sends the leading headers first. Returns 0,
 * CAW_ESTATE (our side has ended), CAW_ECLOSED (no stream), CAW_ENOMEM. */
int rpc_call_send(rpc_call *c, caw_payload *payload, const rpc_metadata *headers);

/* Server: sends the leading headers; nothing when they are sent. */
int rpc_call_send_headers(rpc_call *c, const rpc_metadata *headers);

/* Client: no more messages. 0, CAW_ESTATE, CAW_ECLOSED, CAW_ENOMEM. */
int rpc_call_half_close(rpc_call *c);

/* Server: ends the call with a status and trailers, in one header block when
 * nothing was sent before. 0, CAW_ESTATE, CAW_ECLOSED, CAW_ENOMEM. */
int rpc_call_end(rpc_call *c, const caw_status *status, const rpc_metadata *headers,
                 const rpc_metadata *trailers);

/* Resets the stream with an HTTP/2 code; RPC_NEWS_CLOSED follows, if need be
 * with the end of the connection (rpc_session.failed). */
void rpc_call_reset(rpc_call *c, uint32_t h2_code);

/* Server, after RPC_NEWS_HEADERS: is the request acceptable? Reads its timeout.
 * Returns 0, or the gRPC code with the text in *why; *http is the :status to
 * answer with. */
int rpc_call_check_request(rpc_call *c, caw_str *why, unsigned *http);

/* Server: refuses a request with this :status (200 for gRPC's own errors), in one
 * header block; `trailers` may be NULL. */
int rpc_call_refuse(rpc_call *c, unsigned http, const caw_status *status,
                    const rpc_metadata *trailers);

/* What stands next in the stream of messages. */
typedef enum rpc_next {
  RPC_NEXT_NOTHING, /* wait */
  RPC_NEXT_MESSAGE, /* *data, *len */
  RPC_NEXT_END,     /* the peer has ended, nothing is left */
  RPC_NEXT_ERROR    /* broken: *code and *why */
} rpc_next;

typedef struct rpc_message {
  const uint8_t *data;
  size_t len;
  bool compressed;
  int code;        /* of an error: gRPC's */
  const char *why; /* of an error: static text */
} rpc_message;

/* Looks at the next message, as it came, without taking it. */
rpc_next rpc_call_peek(const rpc_call *c, rpc_message *m);
/* Does a step of decompressing the message that peek showed, into `room` bytes at most.
 * CAW_EAGAIN: there are more steps; else rpc_call_take has nothing left to do but to say
 * what came of it. */
int rpc_call_inflate(rpc_call *c, const rpc_message *m, size_t room);
/* Was it not for the receiver's limit but for `room` that the last one had no outcome? */
bool rpc_call_lacks_room(const rpc_call *c);
/* Forgets the steps that were done. */
void rpc_call_stop_inflating(rpc_call *c);
/* Takes the message that peek showed and does what is left of decompressing it, into `room`
 * bytes at most. Its bytes stay until the next take or rpc_call_consumed. Returns
 * 0, or the gRPC code to end the call with, and m->why. */
int rpc_call_take(rpc_call *c, rpc_message *m, size_t room);
/* The taken messages are not needed any more: frees their room. Then gives window back
 * when nothing more waits, unless it is withheld. */
void rpc_call_release(rpc_call *c);
void rpc_call_give_window(rpc_call *c);
/* Both. */
void rpc_call_consumed(rpc_call *c);
/* Has a message begun to come, and is it not whole? */
static inline bool rpc_call_is_partial(const rpc_call *c) {
  return rpc_deframer_is_partial(&c->in);
}
/* Stops or goes on giving window back. */
void rpc_call_pause(rpc_call *c, bool paused);

/* ---- Session: an HTTP/2 session and its calls ---- */

typedef struct rpc_session_events {
  /* Server: a stream begins. Returns a call prepared by rpc_call_init, or
   * NULL to refuse the stream. */
  rpc_call *(*on_open)(void *ctx);
  /* The call has news, and had none before; or it is closed. Cheap notes only. */
  void (*on_event)(void *ctx, rpc_call *call);
  /* The peer's first SETTINGS came. */
  void (*on_ready)(void *ctx);
  /* The peer wants no more calls here. */
  void (*on_goaway)(void *ctx, uint32_t code, caw_str debug);
  void (*on_ping_ack)(void *ctx, uint64_t opaque);
  /* SETTINGS came again: its limits may have changed. */
  void (*on_settings)(void *ctx);
  /* Server: a request's :path. Returns the same text where it lives as long as the
   * call, or no data: then the call keeps a copy. May be NULL. */
  caw_str (*on_path)(void *ctx, rpc_call *call, caw_str path);
} rpc_session_events;

struct rpc_session {
  h2_session *h2;
  const rpc_session_events *events;
  void *ctx;
  rpc_caller *caller; /* server: as the last call that said something new about itself */
  bool ready, goaway;
  bool failed; /* a stream could not be reset for want of memory: end the connection */
};

/* Makes the HTTP/2 session in *s. `events` outlives it. 0 or CAW_ENOMEM. */
int rpc_session_init(rpc_session *s, h2_role role, const h2_config *config,
                     const rpc_session_events *events, void *ctx);

/* Ends it: every call that is left is closed first, its owner told. */
void rpc_session_finish(rpc_session *s);

#endif
