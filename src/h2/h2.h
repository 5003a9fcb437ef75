/*
 * One HTTP/2 connection as gRPC uses it, client or server (RFC 9113): bytes in,
 * events out; requests in, bytes out. No I/O, no clock, no thread. Only the
 * folder src/h2 knows which HTTP/2 library does the work.
 *
 * Events are told by callbacks during h2_recv, or during the call that caused
 * them. A callback may not call into the session; it takes notes, and acts
 * after h2_recv has returned. Output is queued, and fetched with h2_output as
 * a list of slices for one writev.
 */
#ifndef H2_H2_H
#define H2_H2_H

#include "base/slice.h"

#include <caw/str.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct h2_session h2_session;
typedef struct h2_stream h2_stream;

typedef enum h2_role { H2_CLIENT, H2_SERVER } h2_role;

/* Error codes, RFC 9113 section 7. */
enum {
  H2_NO_ERROR = 0x0,
  H2_PROTOCOL_ERROR = 0x1,
  H2_INTERNAL_ERROR = 0x2,
  H2_FLOW_CONTROL_ERROR = 0x3,
  H2_SETTINGS_TIMEOUT = 0x4,
  H2_STREAM_CLOSED = 0x5,
  H2_FRAME_SIZE_ERROR = 0x6,
  H2_REFUSED_STREAM = 0x7,
  H2_CANCEL = 0x8,
  H2_COMPRESSION_ERROR = 0x9,
  H2_CONNECT_ERROR = 0xa,
  H2_ENHANCE_YOUR_CALM = 0xb,
  H2_INADEQUATE_SECURITY = 0xc,
  H2_HTTP_1_1_REQUIRED = 0xd
};

/* Flags of a field. */
enum {
  H2_FIELD_SECRET = 1,  /* never put into a compression table */
  H2_FIELD_LASTING = 2, /* to be sent: the name's text lives for ever; received: both texts
                           live as long as what on_room gives */
  H2_FIELD_INVALID = 4  /* inside of src/h2 */
};

/* Names that HTTP/2 or gRPC give a meaning, so that nobody compares texts to
 * know them. Pseudo-header fields come first. */
typedef enum h2_token {
  H2_T_NONE, /* any other name */
  H2_T_AUTHORITY,
  H2_T_METHOD,
  H2_T_PATH,
  H2_T_PROTOCOL,
  H2_T_SCHEME,
  H2_T_STATUS,
  H2_T_ACCEPT_ENCODING,
  H2_T_AUTHORIZATION,
  H2_T_CONNECTION,
  H2_T_CONTENT_LENGTH,
  H2_T_CONTENT_TYPE,
  H2_T_COOKIE,
  H2_T_DATE,
  H2_T_GRPC_ACCEPT_ENCODING,
  H2_T_GRPC_ENCODING,
  H2_T_GRPC_MESSAGE,
  H2_T_GRPC_STATUS,
  H2_T_GRPC_STATUS_DETAILS_BIN,
  H2_T_GRPC_TIMEOUT,
  H2_T_HOST,
  H2_T_KEEP_ALIVE,
  H2_T_PROXY_AUTHORIZATION,
  H2_T_PROXY_CONNECTION,
  H2_T_SERVER,
  H2_T_SET_COOKIE,
  H2_T_TE,
  H2_T_TRANSFER_ENCODING,
  H2_T_UPGRADE,
  H2_T_USER_AGENT,
  H2_TOKENS /* how many */
} h2_token;

/* The token of a name. */
h2_token h2_token_of(caw_str name);

/* A header field. Names are lower case; pseudo-header fields come first. Whoever
 * sends one may leave the token H2_T_NONE, which costs a look for it. */
typedef struct h2_field {
  caw_str name, value;
  uint8_t token; /* h2_token */
  uint8_t flags;
} h2_field;

/*
 * What a peer may still do that costs us more than it costs the peer. The session
 * takes one off for each when it reads it, and ends the connection with
 * ENHANCE_YOUR_CALM when nothing is left. It adds to `noise` for each frame of
 * payload, either way: those cause WINDOW_UPDATE and PING. The rest is filled up by
 * whoever has a clock.
 */
typedef struct h2_allowance {
  /* Frames that say nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, DATA without
   * payload (but padding, perhaps) and END_STREAM, empty CONTINUATION, RST_STREAM of
   * streams that were never opened, it and HEADERS of closed ones, HEADERS after our
   * last GOAWAY, GOAWAY but for the first, interim responses, streams beyond a limit that was
   * acknowledged, and unknown types. */
  uint32_t noise;
  /* Streams that ended early by the peer's doing: RST_STREAM that came, but for NO_ERROR
   * of a server, or of a client when our side had ended, and RST_STREAM that we had to
   * send for what the peer did wrong. */
  uint32_t resets;
} h2_allowance;

/* The limits whose breach ends a session; see h2_exceeded. */
typedef enum h2_limit {
  H2_LIMIT_NONE,
  H2_LIMIT_NOISE,   /* h2_allowance.noise, and SETTINGS of too many entries */
  H2_LIMIT_RESETS,  /* h2_allowance.resets */
  H2_LIMIT_HEADERS, /* the hard limits, and empty CONTINUATION */
  H2_LIMIT_INDUCED  /* h2_config.max_induced */
} h2_limit;

typedef struct h2_config {
  uint32_t max_streams;    /* concurrent streams the peer may open; 0: 100 */
  uint32_t stream_window;  /* receive window of a stream, bytes; 0: 262,144 */
  uint32_t session_window; /* receive window of the connection; 0: 1 MiB */
  uint32_t window_growth;  /* bytes that all windows together may grow beyond these, when
                              messages are large or the path is long; 0: 16 MiB */
  uint32_t max_frame;      /* largest frame we accept; 0: 16,384, the least */
  uint32_t
      soft_header_bytes; /* decoded bytes (+32 a field); beyond, fields are dropped; 0: 16,384 */
  uint32_t soft_header_fields; /* 0: 128 */
  uint32_t hard_header_bytes;  /* beyond, the connection ends; 0: 65,536 */
  uint32_t hard_header_fields; /* 0: 512 */
  uint32_t max_induced;        /* answers that the peer causes and does not read (h2_queued), beyond
                                  which the connection ends; 0: 10,000 */
  struct cells *cells;     /* memory of streams, blocks and the codec; outlives it; NULL: malloc */
  h2_allowance *allowance; /* the owner's; outlives the session; NULL: everything is allowed */
} h2_config;

/* Flags of on_headers. */
enum {
  H2_HEADERS_END_STREAM = 1,   /* nothing follows on this stream */
  H2_HEADERS_DROPPED = 2,      /* fields were dropped at the soft limit */
  H2_HEADERS_INFORMATIONAL = 4 /* client: a 1xx response, the real one follows */
};

/*
 * What happens on a connection. `ctx` is h2_session_new's; `user` is the
 * stream's user pointer. Strings and bytes are borrowed for the callback.
 */
typedef struct h2_events {
  /* Server: the peer opened a stream. Returns its user pointer; NULL refuses
   * it (RST_STREAM, REFUSED_STREAM), and nothing more is told of it. */
  void *(*on_stream)(void *ctx, h2_stream *stream);
  /* One field of a header block, leading or trailing, pseudo-headers too, in
   * order. Not called for fields that were dropped. */
  void (*on_field)(void *ctx, void *user, const h2_field *field);
  /* The header block is complete. The first of a stream is its request or
   * response (after informational ones); a second one holds trailers. */
  void (*on_headers)(void *ctx, void *user, unsigned flags);
  /* Payload. The stream's window shrinks until h2_consume gives it back; the
   * connection's window is given back by the session. */
  void (*on_data)(void *ctx, void *user, const uint8_t *data, size_t len);
  /* END_STREAM came, after data or with headers (then after on_headers). */
  void (*on_end)(void *ctx, void *user);
  /* `len` payload bytes of this stream left the send queue and were framed. */
  void (*on_sent)(void *ctx, void *user, size_t len);
  /* The stream is over: both sides ended it (code H2_NO_ERROR, remote false),
   * or it was reset by the peer (remote true), by us, or with the connection.
   * The last event of a stream; `stream` and `user` are not used again. */
  void (*on_close)(void *ctx, void *user, uint32_t code, bool remote);
  /* The peer's SETTINGS arrived. The first one makes the connection ready. */
  void (*on_settings)(void *ctx);
  /* The peer wants no more streams. Streams with an id above `last_id` were
   * not processed: on_close follows for each of ours with H2_REFUSED_STREAM. */
  void (*on_goaway)(void *ctx, uint32_t last_id, uint32_t code, caw_str debug);
  /* The answer to h2_ping. */
  void (*on_ping_ack)(void *ctx, uint64_t opaque);
  /* Gives memory for the text of a field that must be unpacked anyhow, so that it
   * is unpacked to where it stays, but for some that have a token. NULL: memory is out. Without
   * this function only what lives for ever is lasting. Not called for interim responses. */
  char *(*on_room)(void *ctx, void *user, size_t len);
} h2_events;

/*
 * Makes a session whose preface and SETTINGS are queued for output. `events`
 * must outlive it; `config` NULL means the defaults and is copied. Returns 0
 * or CAW_ENOMEM.
 */
int h2_session_new(h2_session **out, h2_role role, const h2_config *config, const h2_events *events,
                   void *ctx);

/* Frees a session; NULL is fine. Open streams get on_close with
 * H2_INTERNAL_ERROR first, unsent slices are released. */
void h2_session_free(h2_session *s);

/* The time of what follows, nanoseconds of a clock that never goes back. With it
 * the windows grow only as long as that makes the connection faster; without it,
 * as long as the peer uses them. */
void h2_at(h2_session *s, uint64_t now);

/*
 * Takes received bytes, all of them, in any chunking. Returns 0; CAW_EPROTO
 * when the peer broke the protocol (a GOAWAY that says why is queued: flush,
 * then close; more input is ignored); CAW_ENOMEM (close).
 */
int h2_recv(h2_session *s, const uint8_t *data, size_t len);

/*
 * Gathers what should be written now into at most `max` parts. Returns the
 * number of parts, 0 when there is nothing to write, or CAW_ENOMEM (close).
 * DATA is framed only up to a bounded backlog (about 112 KiB). The parts stay
 * valid until the next call of h2_written, h2_output or h2_session_free.
 */
int h2_output(h2_session *s, struct iovec *parts, int max);

/* Says that the first `len` bytes of the parts last gathered were written. */
void h2_written(h2_session *s, size_t len);

/* Is there anything to write? Cheap; may say true when windows are closed. */
bool h2_want_output(const h2_session *s);

/* True when both sides are done: nothing to write and no reason to read. */
bool h2_finished(const h2_session *s);

/*
 * Client: opens a stream with these request fields, copied. Sets *out, valid
 * until on_close. Returns 0, CAW_ENOMEM, CAW_EAGAIN (the peer's limit is
 * reached) or CAW_ECLOSED (GOAWAY or ids used up: take another connection).
 */
int h2_request(h2_session *s, const h2_field *fields, size_t n, void *user, h2_stream **out);

/* Server: sends the response's leading fields, copied. Once per stream.
 * Returns 0, CAW_ENOMEM or CAW_ESTATE. */
int h2_respond(h2_session *s, h2_stream *stream, const h2_field *fields, size_t n);

/*
 * Queues payload, handed over: it is released when it was written or the
 * stream ends, also on error. Small slices are copied into the frame, large
 * ones are sent from where they are. Returns 0, CAW_ENOMEM, or CAW_ESTATE
 * before h2_respond, after h2_finish or h2_reset, and when the stream has ended
 * and on_close is due.
 */
int h2_send(h2_session *s, h2_stream *stream, slice data);

/*
 * Ends our side after the queued payload: with trailers (copied) when n > 0,
 * else with an empty END_STREAM. Server without h2_respond before: the fields
 * are the whole response, in one HEADERS frame (trailers-only). Returns 0,
 * CAW_ENOMEM or CAW_ESTATE.
 */
int h2_finish(h2_session *s, h2_stream *stream, const h2_field *trailers, size_t n);

/*
 * Ends the stream at once with RST_STREAM `code`; unsent payload is dropped.
 * on_close comes (remote false), not inside this call but at the latest during
 * the next h2_output. Nothing happens for a stream that is being reset.
 * Returns 0 or CAW_ENOMEM.
 */
int h2_reset(h2_session *s, h2_stream *stream, uint32_t code);

/* Gives `len` bytes of the stream's receive window back. */
int h2_consume(h2_session *s, h2_stream *stream, size_t len);

/* Says that `len` more bytes are wanted from the stream, to make up a message
 * that has begun: its window grows so that they can come in one go, as far as
 * window_growth permits. Returns 0 or CAW_ENOMEM. */
int h2_expect(h2_session *s, h2_stream *stream, size_t len);

/* Says that no more bytes are wanted from the stream, only its end: a window that is
 * used up gets one byte, as peers on nghttp2 (Node) look for the end only when they
 * could send. Once per stream. Returns 0 or CAW_ENOMEM. */
int h2_await_end(h2_session *s, h2_stream *stream);

/*
 * Queues GOAWAY. `last_id` UINT32_MAX announces the end without refusing
 * streams on their way (the first step of a graceful end; `code` and `debug`
 * are for the last step only); otherwise give h2_last_id(). Streams of the peer
 * above `last_id` get on_close with H2_REFUSED_STREAM. `debug` is copied, up to
 * 1 KiB. Nothing happens once the session has failed: that GOAWAY says why.
 * Returns 0 or CAW_ENOMEM.
 */
int h2_goaway(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug);

/* The highest id of a stream that the peer opened and we accepted. */
uint32_t h2_last_id(const h2_session *s);

/* Queues a PING; on_ping_ack gives `opaque` back. Returns 0 or CAW_ENOMEM. */
int h2_ping(h2_session *s, uint64_t opaque);

/* How many frames came so far that say nothing, as h2_allowance.noise counts
 * them; and how many streams ended early, as h2_allowance.resets does. */
uint64_t h2_noise(const h2_session *s);
uint64_t h2_resets(const h2_session *s);

/* How many PINGs of the peer's came so far; and how many DATA, HEADERS and
 * WINDOW_UPDATE frames were made for it, to each of which an honest peer may answer
 * with a PING that measures its path (gRFC A8, "Server Enforcement"). An empty DATA
 * that ends a stream does not count. */
uint64_t h2_pings(const h2_session *s);
uint64_t h2_said(const h2_session *s);

/* How many frames other than DATA wait to be written: answers that the peer
 * makes us give (acks, RST_STREAM), header blocks, window updates. A header block
 * counts as one more for each KiB. Counted by blocks of 4 KiB. */
size_t h2_queued(const h2_session *s);

/* How many bytes wait to be framed, each slice whole until its last byte is, or to be
 * written. Cheap. */
size_t h2_held(const h2_session *s);

/* How many bytes of payload were framed so far. */
uint64_t h2_framed(const h2_session *s);

/* Which header block is open, its last frame not there yet: a number that no other of
 * this session's has; 0: none. Has the peer acknowledged our SETTINGS? */
uint32_t h2_open_block(const h2_session *s);
bool h2_settings_acked(const h2_session *s);

/* The limit for which h2_recv returned CAW_EPROTO; H2_LIMIT_NONE: another reason. */
h2_limit h2_exceeded(const h2_session *s);

/* Why h2_recv returned CAW_EPROTO: a text for people, which lives for ever, and the
 * code of the GOAWAY; "" and H2_NO_ERROR when it did not. */
const char *h2_failure(const h2_session *s);
uint32_t h2_failure_code(const h2_session *s);

/* The id of a stream, for logs. */
uint32_t h2_stream_id(const h2_stream *stream);

#endif
