/*
 * The inside of the comparison: diff.c (a run, and what is compared when), side.c
 * (one implementation: its events and its output), wire.c (what it writes, read as
 * frames), peer.c (what the peer sends, delivered to both), script.c (the grammar),
 * block.c (header blocks of the peer) and known.c (deliberate differences).
 */
#ifndef DIFF_INSIDE_H
#define DIFF_INSIDE_H

#include "diff/diff.h"
#include "h2/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define STREAMS 48
#define TRAIL   128
#define PEND    ((size_t)1 << 18)
#define WIRE    ((size_t)1 << 19)
#define LASTING 32
#define ROOM    ((size_t)1 << 17)
#define PREFACE 24
#define HEAD    9
#define PROBE   UINT64_C(0x62616e647769647c) /* of the PINGs that src/h2 measures with */

enum { OURS, ORACLE, SIDES };

enum {
  F_DATA,
  F_HEADERS,
  F_PRIORITY,
  F_RST,
  F_SETTINGS,
  F_PUSH,
  F_PING,
  F_GOAWAY,
  F_WINDOW,
  F_CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };

/* What happened, a number for each event, since the sides were last found equal. */
typedef struct trail {
  uint32_t len;
  uint64_t seen[TRAIL];
} trail;

struct side;

/* One side's part of a stream. */
typedef struct half {
  struct side *side;
  struct stream *stream;
  h2_stream *h2;     /* NULL before it is told and once it is closed */
  bool told, closed; /* on_stream or h2_request; on_close */
  bool ended;        /* on_end */
  bool final;        /* on_headers, and not of an informational response */
  trail events;
  uint64_t received, sum; /* of on_data */
  uint64_t framed;        /* of on_sent */
  /* What it wrote. */
  trail wire;
  uint64_t written;  /* bytes of DATA */
  bool opened, done; /* HEADERS; END_STREAM */
  int64_t reset;     /* the code of RST_STREAM, or -1 */
  uint64_t granted;  /* by WINDOW_UPDATE */
} half;

typedef struct stream {
  uint32_t id;
  half of[SIDES];
  /* What both were told to do. */
  uint64_t queued; /* payload */
  uint64_t consumed;
  bool answered, finished, reset;
  bool to_head; /* the request's method is HEAD */
  /* What the peer did. */
  bool heard;             /* HEADERS */
  bool over, aborted;     /* END_STREAM; RST_STREAM */
  int64_t length;         /* content-length of the message, or -1 */
  uint64_t data;          /* bytes of DATA, with padding */
  uint64_t credit;        /* WINDOW_UPDATE */
  int64_t allowed_before; /* the most since all output was taken */
} stream;

typedef struct side {
  struct diff *d;
  int which;
  const h2_face *face;
  h2_session *s;
  int rc;          /* of h2_recv and h2_output, the first that was not 0 */
  trail events;    /* settings, goaway, ping acks */
  uint64_t slices; /* that are not released */

  uint8_t *wire; /* written bytes that are not yet a whole frame */
  size_t wire_len;
  bool spoke, began; /* its preface, or it has none; its SETTINGS */
  trail settings, ping_acks, pings, goaways;
  nghttp2_hd_inflater *inflater;
  uint32_t block_of; /* whose header block goes on; 0: none */
  bool block_ends;
  uint64_t block_sum;
  uint64_t granted, written;
  unsigned settings_acked;
  unsigned probes; /* PINGs of its own that wait for an answer */
  bool grown;      /* its windows may be larger than the options say */
  int64_t goaway;  /* the code of the last one, or -1 */

  /* Texts of lasting fields, which must not change. */
  struct {
    caw_str text;
    uint64_t sum;
  } lasting[LASTING];
  size_t lasting_len;
  char *room;
  size_t room_len;
} side;

/* What a header block of the peer says, by an independent decoder. */
typedef struct content {
  bool broken;      /* it does not decode */
  int status;       /* in the first field; -1: it is another one */
  bool long_string; /* one that says to be longer than the hard limit */
  unsigned fields, updates;
  int64_t length;          /* the number of the last content-length, or -1 */
  size_t bytes;            /* as the limits count them */
  unsigned hosts, lengths; /* fields called host and content-length */
} content;

/* A frame, whole. */
typedef struct frame {
  size_t len; /* of the payload, as the head says */
  uint8_t type, flags;
  uint32_t id;
  const uint8_t *payload;
  size_t have; /* less than len when the frame is too long to be waited for */

  /* Of the peer's HEADERS, which comes with the CONTINUATION that follow it: */
  const uint8_t *block; /* all fragments */
  size_t block_len;
  unsigned pieces, empty; /* CONTINUATION frames; those without payload */
  bool complete;          /* the last one has END_HEADERS */
} frame;

typedef struct table_size {
  bool any;
  uint32_t least, last;
} table_size;

/* The peer's HPACK encoder, as far as it must know its table. */
typedef struct encoder {
  struct {
    uint32_t bytes;
  } entries[160]; /* newest last */
  uint32_t len, bytes, max;
} encoder;

typedef struct diff {
  unsigned how;
  const char *why; /* what differs */
  bool stop;       /* nothing more is compared */
  bool blind;      /* more streams than we can remember: not even this run's end */
  side sides[SIDES];
  stream streams[STREAMS + 1]; /* the last one stands for all that find no room */
  size_t count;

  /* Options, from the script. */
  h2_role role;
  h2_config config;
  bool with_room, avoid, lazy, honest, tokens;
  bool big;  /* more payload than may be framed ahead: all output is taken at once */
  int parts; /* that h2_output may give at once */
  unsigned refuse, chunk, opening, honest_steps;
  uint32_t seed;

  /* The script. */
  const uint8_t *script, *script_end;
  size_t local_bytes; /* that were sent so far */
  unsigned counter;

  /* The peer. `pend` holds what it says: up to `fed` both sides have heard it, up
   * to `scanned` its frames were looked at. */
  uint8_t *pend;
  size_t fed, scanned, pend_len;
  size_t keep_back;   /* bytes at the end that are not fed yet */
  bool delivering;    /* peer_deliver is at it */
  bool oversized;     /* the last frame is larger than was agreed */
  bool windows_ahead; /* not all WINDOW_UPDATE and SETTINGS that were looked at are fed */
  bool preface_due, settings_due;
  uint32_t next_id, highest_id;   /* it will open; it has opened */
  uint32_t in_block;              /* CONTINUATION must follow on this stream */
  bool interrupted;               /* and once it did not */
  bool acked;                     /* our SETTINGS */
  size_t content_at, content_end; /* in `pend` */
  content content;                /* of the last header block */
  nghttp2_hd_inflater *inflater;
  uint64_t data, credit; /* DATA that it sent; its WINDOW_UPDATE of the connection */
  int64_t initial_window, window_before; /* the most since all output was taken */
  uint32_t max_frame;
  table_size tables[64]; /* of its SETTINGS */
  unsigned settings_sent;
  bool goaway, announced, ended; /* from either side; the first step of ours; the last */
  encoder encoder;
} diff;

/* diff.c */
__attribute__((format(printf, 2, 3))) void differ(diff *d, const char *format, ...);
#define TELL(d, ...)                                                                               \
  do {                                                                                             \
    if ((d)->how & DIFF_TELL) fprintf(stderr, __VA_ARGS__);                                        \
  } while (0)

stream *stream_for(diff *d, uint32_t id);  /* makes one; the last when there is no room */
stream *stream_find(diff *d, uint32_t id); /* NULL: none */
bool at_boundary(const diff *d);           /* has the peer's last frame been heard whole? */
/* All events so far; not exactly: the one may be ahead of the other. */
void compare_events(diff *d, bool exact);
bool is_over(const diff *d);
void conclude(diff *d); /* both failed the connection */
void settle(diff *d);   /* has both frame what they can, and compares the events */
void drain(diff *d);    /* takes all of it as well, and compares that */

/* side.c */
void trail_add(trail *t, uint64_t what);
uint64_t mix(uint64_t sum, uint64_t what);
uint64_t mix_bytes(uint64_t sum, const void *data, size_t len);
bool side_start(side *s, diff *d, int which, const h2_face *face);
void side_stop(side *s);
void side_recv(side *s, const uint8_t *data, size_t len);
size_t side_take(side *s, size_t most); /* writes up to `most` bytes */
slice side_payload(side *s, uint32_t id, uint64_t at, size_t len);
bool payload_is(uint32_t id, uint64_t at, const uint8_t *data, size_t len);

/* wire.c */
void wire_parse(side *s);
int64_t stream_allowed(const diff *d, const stream *st);
int64_t conn_allowed(const diff *d);

/* peer.c */
bool peer_start(diff *d);
void peer_stop(diff *d);
void peer_frame(diff *d, unsigned type, unsigned flags, uint32_t id, const void *payload,
                size_t len);
void peer_bytes(diff *d, const void *data, size_t len);
void peer_deliver(diff *d);   /* all whole frames, but for `keep_back` bytes */
bool in_doubt(const diff *d); /* one side has failed the connection, the other may yet */
void peer_finish(diff *d);    /* and all the rest */
int64_t peer_window(const diff *d, const stream *st, bool least); /* how much DATA it may send */

/* content.c */
void content_read(diff *d, const frame *f, size_t len); /* of its frames */
bool content_heard(const diff *d);                      /* a part of it at least */
bool content_too_large(const diff *d);                  /* beyond the hard limits */

/* block.c */
typedef struct block {
  uint8_t bytes[1 << 16];
  size_t len;
} block;

void block_start(void); /* once */
void block_request(diff *d, block *b);
void block_response(diff *d, block *b);
void block_trailers(diff *d, block *b);
void block_informational(diff *d, block *b);

/* script.c */
uint8_t next(diff *d);
void script_start(diff *d);
void script_open(diff *d); /* the begin of the connection */
bool script_step(diff *d); /* false: the end */

/* known.c */
typedef struct known known;
bool sound(const frame *f);                      /* padding, if any, is within the frame */
const known *known_for(diff *d, const frame *f); /* NULL: nothing that is deliberate */
bool known_drops(const known *k);
bool known_ends(const known *k); /* nothing is compared afterwards */
void known_hear(diff *d, const known *k, const frame *f, const uint8_t *bytes, size_t len);

#endif
