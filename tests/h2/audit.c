/* The rules of audit.h. */
#include "audit.h"

#include <string.h>

#define STREAMS 512

enum { DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION };

typedef struct sent_stream {
  uint32_t id;
  bool begun, ended, reset;
} sent_stream;

typedef struct book {
  h2_role role;
  size_t max_frame;
  sent_stream streams[STREAMS];
  size_t count;
  uint32_t highest;   /* client: of its requests */
  uint32_t block;     /* a header block is open on this stream; 0: none */
  uint32_t announced; /* the last id of the GOAWAY before */
  uint64_t frames;
  bool over; /* the GOAWAY of an error was sent */
} book;

typedef struct frame_view {
  size_t len;
  unsigned type, flags;
  uint32_t id;
  const uint8_t *payload;
} frame_view;

static uint32_t u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static sent_stream *find(book *b, uint32_t id) {
  for (size_t i = b->count; i-- > 0;)
    if (b->streams[i].id == id) return &b->streams[i];
  if (b->count == STREAMS) { /* more than any test has: of those nothing is checked */
    static sent_stream nobody;
    nobody = (sent_stream){.id = id, .begun = true};
    return &nobody;
  }
  b->streams[b->count] = (sent_stream){.id = id};
  return &b->streams[b->count++];
}

/* ---- frames of the connection ---- */

static const char *check_settings(const frame_view *f) {
  if (f->flags & 1) return f->len ? "an acknowledgement has a payload (6.5)" : NULL;
  if (f->len % 6) return "SETTINGS has not a multiple of 6 octets (6.5)";
  for (size_t i = 0; i < f->len; i += 6) {
    unsigned id = (unsigned)f->payload[i] << 8 | f->payload[i + 1];
    uint32_t value = u32(f->payload + i + 2);
    if (id == 2 && value != 0) return "ENABLE_PUSH is not 0 (6.5.2)";
    if (id == 4 && value > INT32_MAX) return "INITIAL_WINDOW_SIZE is too large (6.5.2)";
    if (id == 5 && (value < 16384 || value > 0xffffff)) return "MAX_FRAME_SIZE (6.5.2)";
  }
  return NULL;
}

static const char *check_goaway(book *b, const frame_view *f) {
  if (f->len < 8) return "GOAWAY is too short (6.8)";
  uint32_t last = u32(f->payload);
  if (last > INT32_MAX) return "GOAWAY sets the reserved bit (6.8)";
  if (last > b->announced) return "GOAWAY's last id grows (6.8)";
  b->announced = last;
  b->over = u32(f->payload + 4) != H2_NO_ERROR;
  return NULL;
}

static const char *check_window(const frame_view *f) {
  if (f->len != 4) return "WINDOW_UPDATE has not four octets (6.9)";
  uint32_t n = u32(f->payload);
  return n == 0 || n > INT32_MAX ? "WINDOW_UPDATE has an increment that is not legal (6.9)" : NULL;
}

/* ---- frames of a stream ---- */

/* A request of a client, a response of a server, or trailers. */
static const char *check_headers(book *b, const frame_view *f) {
  sent_stream *st = find(b, f->id);
  if (f->id % 2 == 0) return "a stream of the server's (8.4)";
  if (st->ended) return "HEADERS after END_STREAM (5.1)";
  if (b->role == H2_CLIENT && !st->begun) {
    if (f->id <= b->highest) return "the ids of requests do not grow (5.1.1)";
    b->highest = f->id;
  } else if (b->role == H2_CLIENT && !(f->flags & 1)) {
    return "trailers that do not end the stream (8.1)";
  }
  st->begun = true;
  st->ended = f->flags & 1;
  if (!(f->flags & 4)) b->block = f->id;
  return NULL;
}

static const char *check_data(book *b, const frame_view *f) {
  sent_stream *st = find(b, f->id);
  if (!st->begun) return "DATA before HEADERS (8.1)";
  if (st->ended) return "DATA after END_STREAM (5.1)";
  st->ended = f->flags & 1;
  return NULL;
}

static const char *check_type(book *b, const frame_view *f) {
  switch (f->type) {
  case DATA:
    return check_data(b, f);
  case HEADERS:
    return check_headers(b, f);
  case RST:
    find(b, f->id)->reset = true;
    return f->len != 4 ? "RST_STREAM has not four octets (6.4)" : NULL;
  case SETTINGS:
    return check_settings(f);
  case PING:
    return f->len != 8 ? "PING has not eight octets (6.7)" : NULL;
  case GOAWAY:
    return check_goaway(b, f);
  case WINDOW:
    return check_window(f);
  case CONTINUATION:
    return NULL;
  default:
    return "a frame that we have no use for";
  }
}

/* ---- all of them ---- */

static const char *check_head(const book *b, const frame_view *f) {
  static const unsigned char flags[] = {1 | 8, 1 | 4 | 8 | 0x20, 0, 0, 1, 0, 1, 0, 0, 4};
  bool of_connection = f->type == SETTINGS || f->type == PING || f->type == GOAWAY;
  if (f->type > CONTINUATION) return "a frame of an unknown type";
  if (f->flags & ~(unsigned)flags[f->type]) return "an unused flag is set (4.1)";
  if (f->id > INT32_MAX) return "the reserved bit is set (4.1)";
  if (f->len > b->max_frame) return "a frame is larger than the peer allows (4.2)";
  if (f->type != WINDOW && of_connection != (f->id == 0)) return "a wrong stream (6)";
  if (b->over) return "a frame follows the GOAWAY of an error (5.4.1)";
  if (!b->frames && (f->type != SETTINGS || (f->flags & 1))) return "SETTINGS is not first (3.4)";
  if ((b->block != 0) != (f->type == CONTINUATION) || (b->block && b->block != f->id))
    return "a header block is not contiguous (4.3)";
  return NULL;
}

static const char *check(book *b, const frame_view *f) {
  const char *wrong = check_head(b, f);
  if (wrong) return wrong;
  b->frames++;
  if (f->id && find(b, f->id)->reset && f->type != CONTINUATION)
    return f->type == RST ? "a second RST_STREAM (5.4.2)"
                          : "a frame follows RST_STREAM on its stream (5.4.2)";
  if (f->type == CONTINUATION && (f->flags & 4)) b->block = 0;
  return check_type(b, f);
}

const char *audit(const uint8_t *data, size_t len, h2_role role, size_t max_frame) {
  static const char magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  book b = {.role = role, .max_frame = max_frame, .announced = INT32_MAX};
  size_t at = role == H2_CLIENT ? 24 : 0;
  if (len < at || memcmp(data, magic, at) != 0) return "a client's preface is wrong (3.4)";
  while (at < len) {
    const uint8_t *p = data + at;
    if (len - at < 9) return "a frame's head is cut";
    frame_view f = {(size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], p[3], p[4], u32(p + 5), p + 9};
    if (len - at - 9 < f.len) return "a frame is cut";
    const char *wrong = check(&b, &f);
    if (wrong) return wrong;
    at += 9 + f.len;
  }
  return b.block ? "a header block has no end (4.3)" : NULL;
}
