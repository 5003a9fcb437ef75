/*
 * The oracle: an implementation of h2/h2.h on libnghttp2, for tests alone, to
 * compare src/h2 with. It was the library's own until src/h2 spoke HTTP/2 itself,
 * and its limits are those of src/h2. names.h gives its symbols other names, so
 * that one program holds both.
 *
 * This is the inside of a session and a stream, shared by session.c (life,
 * options, streams), recv.c (bytes in) and send.c (bytes out). Nobody else
 * includes it.
 */
#ifndef ORACLE_SESSION_H
#define ORACLE_SESSION_H

#include "base/cells.h"
#include "base/list.h"
#include "h2/h2.h"
#include "h2/out.h"

#include <nghttp2/nghttp2.h>

#define FRAME_HEAD   9 /* RFC 9113 section 4.1 */
#define INLINE_SENDS 2 /* a message and its prefix */

/* A slice that is referenced from more than one DATA frame: the stream and each
 * part on its way out hold one reference. */
typedef struct h2_hold {
  size_t refs;
  void (*release)(void *owner);
  void *owner;
} h2_hold;

struct h2_stream {
  list node;   /* in session->streams */
  list ending; /* in session->endings while on_close is due */
  void *user;
  uint32_t id;
  uint32_t end_code; /* for that on_close */
  bool end_remote;
  bool answered;     /* leading fields were given to nghttp2 */
  bool opened;       /* leading fields were framed */
  bool finished;     /* h2_finish was called */
  bool attached;     /* nghttp2 will ask for payload */
  bool ended;        /* reset or closed: nothing but on_close follows */
  bool remote_ended; /* END_STREAM or RST_STREAM came */
  bool remote_reset;
  bool failed; /* our leading or trailing fields could not be framed */

  /* Payload: a ring that starts in `first`; queue[head].data moves forward as
   * it is framed. */
  slice *queue;
  size_t head, len, room;
  size_t bytes;
  h2_hold *hold; /* of queue[head], once a part of it was referenced */
  slice first[INLINE_SENDS];

  nghttp2_nv *trailers;         /* with their text behind them, one block: */
  nghttp2_nv first_trailers[2]; /* this one, if a status is all that they say */
  size_t trailer_count;
};

struct h2_session {
  nghttp2_session *ng;
  const h2_events *events;
  void *ctx;
  h2_role role;
  h2_config config;
  int error;          /* 0; CAW_EPROTO: only output goes on; CAW_ENOMEM: dead */
  bool starved;       /* an allocation of nghttp2's failed */
  uint32_t calm_code; /* why a callback ended the connection, or 0 */

  list streams;
  list endings;
  h2_stream *recent; /* that stream_of found last: frames come in runs; or NULL */
  size_t open;       /* length of `streams` */
  uint32_t last_id;
  bool goaway_received, goaway_sent;
  size_t own_goaways; /* submitted and not framed */

  /* Input: the head of a frame that has not come whole. */
  uint8_t head[FRAME_HEAD];
  size_t head_len;
  size_t payload_left; /* of the frame or of the client's preface */
  bool pad_due;        /* DATA whose pad length has not come */
  bool skipping;       /* nghttp2 does not see this frame */
  bool in_block;       /* CONTINUATION must follow */
  uint32_t highest_id; /* of the HEADERS that came */
  uint64_t noise;
  size_t credit; /* DATA of this h2_recv, for the connection's window */

  /* The header block that is being decoded, and its stream if we have it. */
  h2_stream *block_of;
  size_t block_bytes, block_fields;
  bool block_dropped, block_informational;

  bool pumping;      /* nghttp2 is framing */
  bool control_only; /* and shall frame no DATA now */
  out out;
};

/* The stream of an id, or NULL when we have none (any more). */
h2_stream *stream_of(h2_session *s, int32_t id);

/* From now on stream_of does not find the stream. */
void stream_part(h2_session *s, const h2_stream *st);

/* Makes a stream that is not yet known to nghttp2. NULL: out of memory. */
h2_stream *stream_new(h2_session *s);

/* Drops the stream without telling anyone. */
void stream_drop(h2_session *s, h2_stream *st);

/* Tells on_close and drops the stream. */
void stream_close(h2_session *s, h2_stream *st, uint32_t code, bool remote);

/* From now on only on_close is due for the stream, at the end of the next
 * h2_output; nghttp2 forgets it. */
void stream_end(h2_session *s, h2_stream *st, uint32_t code, bool remote);

/* Drops the payload and trailers that were not framed. */
void stream_clear(h2_stream *st);

/* Notes that nghttp2's reading failed; returns CAW_ENOMEM or CAW_EPROTO. */
int session_fail(h2_session *s, int ng_error);

/* 0, CAW_EAGAIN or CAW_ECLOSED: may a client open a stream? */
int session_check_open(const h2_session *s);

/* Frames what may be framed now. Returns 0 or CAW_ENOMEM. */
int session_pump(h2_session *s);

/* Sets the callbacks of recv.c and send.c. */
void recv_callbacks(nghttp2_session_callbacks *cb);
void send_callbacks(nghttp2_session_callbacks *cb);

#endif
