/*
 * The inside of a session and a stream, shared by the files of this folder:
 * session.c (life, settings, GOAWAY), streams.c (the table of streams), recv.c
 * (frames in), block.c (header blocks in), message.c (what makes an HTTP
 * message), window.c (flow control) and send.c (frames out). Nobody else
 * includes it.
 */
#ifndef H2_SESSION_H
#define H2_SESSION_H

#include "base/cells.h"
#include "base/list.h"
#include "h2/frame.h"
#include "h2/h2.h"
#include "h2/hpack.h"
#include "h2/message.h"
#include "h2/out.h"

#define INLINE_SENDS 2 /* a message and its prefix */

/* A header block counts once more in h2_queued for each so many bytes. */
#define QUEUED_UNIT ((size_t)1024)

/* A slice that is referenced from more than one DATA frame: the stream and each
 * part on its way out hold one reference. */
typedef struct h2_hold {
  size_t refs;
  void (*release)(void *owner);
  void *owner;
} h2_hold;

/* Trailers that wait for the payload before them; their text lies behind them. */
typedef struct h2_kept {
  size_t n;
  h2_field fields[];
} h2_kept;

/*
 * Payload of a stream that waits to be framed, and only while it does: a ring that
 * starts in `first`; queue[head].data moves forward as it is framed.
 */
typedef struct h2_sending {
  h2_stream *of;
  list ready; /* in session->ready while some of it could be framed */
  uint32_t head, len, room;
  slice *queue;
  size_t bytes;
  size_t taken;  /* bytes of queue[head] that were framed */
  h2_hold *hold; /* of queue[head], once a part of it was referenced */
  h2_kept *trailers;
  slice first[INLINE_SENDS];
} h2_sending;

/*
 * A stream from its HEADERS until on_close was told. While it is in the table it
 * is open or half closed (RFC 9113 section 5.1) as `local_ended` and
 * `remote_ended` say; `ended` means closed, and then only on_close is due.
 */
struct h2_stream {
  void *user;
  uint32_t id;
  uint32_t end_code;  /* for on_close */
  h2_message message; /* what came of the peer's */
  h2_stream *chained; /* the next in the same slot of the table */
  list node;          /* in session->streams, or in session->endings */

  /* Receiving: what the peer may still send, what we want that to be, and what
   * lies with the owner. */
  int32_t recv_window;
  uint32_t recv_target;
  uint32_t held;
  int32_t send_window;
  uint64_t came; /* since the last PING that measures the bandwidth */

  h2_sending *sending; /* NULL: there is nothing to send */

  bool end_remote;   /* for on_close */
  bool ended;        /* out of the table, in session->endings */
  bool answered;     /* our leading fields were written */
  bool finished;     /* h2_finish was called */
  bool local_ended;  /* END_STREAM was framed */
  bool remote_ended; /* END_STREAM came */
};

/* Where in the input we are. */
typedef enum in_stage {
  IN_PREFACE, /* server: the client's magic */
  IN_HEAD,    /* a frame's head */
  IN_OPENING, /* DATA and HEADERS: pad length and priority */
  IN_DATA,    /* payload of a stream */
  IN_BLOCK,   /* a piece of a header block */
  IN_WHOLE,   /* a frame that is looked at when it is complete */
  IN_SKIP     /* padding, or a frame that says nothing to us */
} in_stage;

/* The frame that is being read. */
typedef struct in_frame {
  frame_head head;
  uint32_t left;     /* of the payload, padding included */
  uint32_t pad;      /* of `left`: padding at the end */
  h2_stream *stream; /* DATA: whose; NULL: nobody's */
  uint8_t stage;     /* in_stage */
  uint8_t have;      /* bytes in `small`, or of the magic */
  uint8_t need;      /* IN_OPENING: how many are wanted */
  uint8_t small[14]; /* a frame's head, or a begin that came in pieces */
  uint8_t *whole;    /* IN_WHOLE: a payload that comes in pieces */
  uint32_t whole_len;
} in_frame;

/* The header block that is being read. */
typedef struct in_block {
  h2_stream *of;   /* NULL: decoded for the compression state only */
  uint32_t id;     /* CONTINUATION must be of this stream; 0: no block is open */
  uint32_t number; /* of blocks that came, and never 0 once one did */
  bool end_stream; /* its HEADERS had that flag */
  bool dropped, informational;
  uint32_t fields;
  uint32_t empty; /* CONTINUATION */
  size_t bytes;
  uint8_t *carry; /* the begin of a representation that was cut */
  uint32_t carry_len, carry_room;
} in_block;

/* How fast the peer's payload comes, measured from a PING to its answer. */
typedef struct h2_bandwidth {
  uint64_t now;   /* as h2_at said; 0: nobody did */
  uint64_t since; /* when the PING went out */
  uint64_t bytes; /* that came since */
  uint64_t best;  /* bytes per second, so far */
  uint32_t wait;  /* bytes that come before the next PING */
  uint32_t grown; /* of config.window_growth: what is given to windows */
  bool asked;     /* the PING is on its way */
} h2_bandwidth;

struct h2_session {
  const h2_events *events;
  void *ctx;
  h2_config config;
  h2_role role;
  int error;       /* 0; CAW_EPROTO: only output goes on; CAW_ENOMEM: dead */
  const char *why; /* of CAW_EPROTO; a literal */
  uint32_t code;   /* of the GOAWAY then */
  uint8_t limit;   /* h2_limit: which one the peer has exceeded */

  bool settings_received, settings_acked;
  bool goaway_received;
  bool goaway_sent;      /* the last one: no more streams of the peer */
  uint32_t announced_id; /* in our last GOAWAY: it may only fall (RFC 9113 section 6.8) */

  /* What the peer's SETTINGS say. */
  uint32_t peer_window, peer_max_frame, peer_max_streams;

  /* Streams by id: chains in a power of two of slots, or none at all. */
  h2_stream **slots;
  uint32_t slot_mask;
  uint32_t open;        /* streams in the table */
  h2_stream *recent;    /* that stream_of found last: frames come in runs; or NULL */
  list streams;         /* those in the table, oldest first */
  list endings;         /* those whose on_close is due */
  list ready;           /* h2_sending of those with window, whose turn comes in this order */
  uint32_t next_id;     /* client: of the next request */
  uint32_t highest_id;  /* server: of the HEADERS that came */
  uint32_t last_id;     /* server: that we accepted */
  uint32_t last_goaway; /* the last stream id of the GOAWAY that came */

  /* The connection's windows. */
  int32_t send_window;
  int32_t recv_window;
  uint32_t recv_target;
  uint64_t framed;         /* bytes of payload */
  size_t waiting;          /* bytes of the slices in all h2_sending */
  bool crowded;            /* the last h2_output left streams waiting that have payload */
  uint32_t initial_window; /* that the peer believes a new stream to have */
  h2_bandwidth bandwidth;

  uint64_t noise, resets;
  uint64_t pings; /* that came and were no answers */
  uint64_t said;  /* DATA, HEADERS and WINDOW_UPDATE that were framed */

  in_frame in;
  in_block block;
  hpack_decoder decoder;
  hpack_encoder encoder;
  out out;
};

/* ---- session.c ---- */

/* The peer broke the protocol: queues a GOAWAY with `code` and `why`, a literal.
 * Nothing is read any more. Returns CAW_EPROTO or CAW_ENOMEM. */
int session_fail(h2_session *s, uint32_t code, const char *why);

/* The same for one who has exceeded a limit: ENHANCE_YOUR_CALM. */
int session_exceed(h2_session *s, h2_limit limit, const char *why);

/* Memory is out; returns CAW_ENOMEM. */
int session_starve(h2_session *s);

/* The peer did one of what h2_allowance counts. 0, or as session_fail when it was
 * one too many. */
int session_charge_noise(h2_session *s);

/* Payload was sent or came: honest peers make some noise about it. */
static inline void session_useful(h2_session *s) {
  h2_allowance *a = s->config.allowance;
  if (a && a->noise < UINT32_MAX - 3) a->noise += 3; /* two WINDOW_UPDATE, and some */
}

int session_charge_reset(h2_session *s);

/* A SETTINGS frame came whole, its length in order. Returns 0 or as session_fail. */
int settings_received(h2_session *s, const frame_head *h, const uint8_t *payload);

/* A GOAWAY frame came whole. Returns 0 or as session_fail. */
int goaway_received(h2_session *s, const frame_head *h, const uint8_t *payload);

/* ---- streams.c ---- */

/* The stream of an id, or NULL when it is idle or closed. */
h2_stream *stream_of(h2_session *s, uint32_t id);

/* Makes an open stream. NULL: out of memory. */
h2_stream *stream_new(h2_session *s, uint32_t id);

/* The stream is closed: it leaves the table, and on_close is due with the next
 * h2_output. */
void stream_end(h2_session *s, h2_stream *st, uint32_t code, bool remote);

/* Tells on_close, of an open or an ended stream, and frees it. */
void stream_close(h2_session *s, h2_stream *st, uint32_t code, bool remote);

/* Frees a stream of which nobody was told. */
void stream_drop(h2_session *s, h2_stream *st);

/* A stream error (RFC 9113 section 5.4.2) of the peer's. 0 or CAW_ENOMEM. */
int stream_fail(h2_session *s, h2_stream *st, uint32_t code);

/* Our side has ended on the wire; `stream` may be closed by it. 0 or CAW_ENOMEM. */
int stream_local_end(h2_session *s, h2_stream *st);

/* END_STREAM came, and on_end was told; the stream may be closed by it. */
void stream_remote_end(h2_session *s, h2_stream *st);

/* ---- recv.c and block.c ---- */

/* HEADERS begins. 0, or as session_fail. */
int block_begin(h2_session *s, const frame_head *h);

/* A piece of the block; `last` when none follows. 0, or as session_fail. */
int block_read(h2_session *s, const uint8_t *data, size_t len, bool last);

/* The frame with END_HEADERS has ended. 0, or as session_fail. */
int block_end(h2_session *s);

/* Frees what the block held. */
void block_finish(h2_session *s);

/* ---- window.c ---- */

/* A DATA frame of `len` bytes payload, padding included, begins. Returns 0 or
 * CAW_EPROTO when the peer had no window for it. */
int window_take_session(h2_session *s, uint32_t len);
bool window_take_stream(h2_stream *st, uint32_t len);

/* Padding of a DATA frame is nobody's: it goes back at once. 0 or CAW_ENOMEM. */
int window_give_stream(h2_session *s, h2_stream *st);
int window_give_session(h2_session *s);

/* WINDOW_UPDATE came whole. 0, or as session_fail. */
int window_update(h2_session *s, const frame_head *h, const uint8_t *payload);

/* The peer's SETTINGS_INITIAL_WINDOW_SIZE takes effect; `most`: the largest that its
 * frame named on the way. 0, or as session_fail. Our own. */
int window_set_peer(h2_session *s, uint32_t size, uint32_t most);
void window_set_own(h2_session *s, uint32_t size);

/* Bytes of payload came. 0 or CAW_ENOMEM. */
int bandwidth_count(h2_session *s, size_t len);

/* Is this PING's answer ours? Then it is taken. */
bool bandwidth_answer(h2_session *s, uint64_t opaque);

/* ---- send.c ---- */

/* A frame without payload of a stream: head and up to 16 bytes. 0 or CAW_ENOMEM. */
int send_small(h2_session *s, unsigned type, unsigned flags, uint32_t id, const void *payload,
               size_t len);
int send_reset(h2_session *s, uint32_t id, uint32_t code);

/* The same as an answer to what the peer did. It ends the connection of a peer that
 * causes answers and reads none of them: 0, or as session_fail. */
int send_induced(h2_session *s, unsigned type, unsigned flags, uint32_t id, const void *payload,
                 size_t len);
int send_induced_reset(h2_session *s, uint32_t id, uint32_t code);

/* Drops the payload and trailers that were not framed. */
void send_clear(h2_session *s, h2_stream *st);

/* The stream has payload, and may have got window: it gets its turn. */
void send_ready(h2_session *s, h2_stream *st);

#endif
