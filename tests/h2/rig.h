/*
 * Two HTTP/2 sessions that talk through memory, a log of what each was told,
 * slices that count their releases, and an allocator that fails on demand.
 */
#ifndef RIG_H
#define RIG_H

#include "base/buf.h"
#include "h2/h2.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define RIG_STREAMS 256

struct rig_end;

typedef struct rig_stream {
  struct rig_end *end;
  h2_stream *h2; /* NULL after on_close */
  uint32_t id;
  size_t received, sent;
  uint32_t sum; /* of the received bytes, in order */
  unsigned closes, ends, headers;
  uint32_t code;
  bool remote;
} rig_stream;

typedef struct rig_end {
  const char *name;
  h2_session *s;
  buf log;
  rig_stream streams[RIG_STREAMS];
  size_t count;
  bool refuse; /* on_stream answers NULL */
  int in_callback;
  rig_stream *data_of; /* whose data events are being merged */
  size_t data_len;
  buf wire; /* all that this end has sent */
  int rc;   /* the last error of h2_recv or h2_output of this end */
} rig_end;

typedef struct rig {
  rig_end client, server;
  unsigned chunk; /* 0: whole; 1: byte by byte; else a seed for random chunks */
} rig;

void rig_start(rig *r, const h2_config *client, const h2_config *server);
void rig_stop(rig *r);

/* How much an end may send before its buffer grows. */
extern size_t rig_wire_room;

/* One end alone, to be fed with raw bytes. */
void rig_start_end(rig_end *e, h2_role role, const h2_config *config);
int rig_try_start_end(rig_end *e, h2_role role, const h2_config *config);
void rig_stop_end(rig_end *e);

/* Moves bytes until both are silent. */
void rig_pump(rig *r);

/* Moves at most `at_most` bytes from one end to the other. */
bool rig_carry(rig *r, rig_end *from, rig_end *to, size_t at_most);

/* Takes all output of one end; returns the bytes moved into e->wire. */
size_t rig_drain(rig_end *e);

/* An error code as logs and frames show it. */
const char *rig_code_name(uint32_t code);

/* The frames of bytes that were sent, without the preface, as text: type, stream
 * id, flags (es, eh, ack), length; one a line, `len` only for DATA. */
char *rig_frames(const uint8_t *data, size_t len);
void rig_expect_frames(const rig_end *e, size_t from, const char *text);

/* Drains, and expects that the last frame is this one. */
void rig_expect_last(rig_end *e, const char *text);

/* Feeds bytes in chunks as rig.chunk says; returns the last result. */
int rig_feed(rig_end *e, const void *data, size_t len, unsigned chunk);

/* The log so far, NUL-terminated, and an empty one from now on. */
void rig_expect(rig_end *e, const char *log);
char *rig_log(rig_end *e); /* for caw_free */
void rig_forget(rig *r);

/* Requests and answers. */
rig_stream *rig_request(rig_end *e, const char *path);
int rig_try_request(rig_end *e, const char *path, rig_stream **out);
int rig_respond(rig_stream *st);
int rig_finish(rig_stream *st, const char *status); /* grpc-status; NULL: no trailers */
int rig_send(rig_stream *st, size_t len);           /* a counted slice */

/* Slices that live now; how often any was released twice. */
extern size_t rig_slices_live;
slice rig_slice(size_t len);
uint32_t rig_sum(uint32_t sum, const uint8_t *data, size_t len);

/* Frames, written by hand. */
void frame(buf *b, unsigned type, unsigned flags, uint32_t id, const void *payload, size_t len);
void preface(buf *b);

/* A literal header field without indexing. */
void literal(buf *b, const char *name, const char *value);
void request_block(buf *b, const char *path);

/* The n-th allocation of the library from now on fails (1 is the next); 0: none.
 * The rig's own are not counted. */
void rig_fail_allocation(size_t n);
extern size_t rig_allocations_live;
extern bool rig_allocation_failed;

enum {
  F_DATA = 0,
  F_HEADERS = 1,
  F_PRIORITY = 2,
  F_RST = 3,
  F_SETTINGS = 4,
  F_PUSH = 5,
  F_PING = 6,
  F_GOAWAY = 7,
  F_WINDOW = 8,
  F_CONTINUATION = 9
};

#endif
