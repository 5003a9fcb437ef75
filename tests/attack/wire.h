/*
 * What a hostile peer says, octet by octet: HTTP/2 frames that no library would write, and
 * a connection that writes them as fast as they are taken, reading or not. Loopback only.
 */
#ifndef ATTACK_WIRE_H
#define ATTACK_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  PUSH_PROMISE,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8 };

/* ---- Octets ---- */

typedef struct bytes {
  uint8_t *data;
  size_t len, room;
} bytes;

void put(bytes *b, const void *data, size_t len);
void put_u32(bytes *b, uint32_t value);
void put_head(bytes *b, size_t len, unsigned type, unsigned flags, uint32_t id);
void put_frame(bytes *b, unsigned type, unsigned flags, uint32_t id, const void *payload,
               size_t len);
/* A literal field that nobody indexes. */
void put_field(bytes *b, const char *name, const char *value, size_t value_len);
/* A gRPC message of zeros; with END_STREAM or without. */
void put_message(bytes *b, uint32_t id, size_t len, unsigned flags);

/* A request's block; `extra` are names and values in turns up to NULL, or NULL. */
void put_request(bytes *b, uint32_t id, unsigned flags, const char *path, const char *const *extra);

/* ---- A connection ---- */

typedef struct foe {
  int fd;
  int index; /* which of the attack's */
  bytes out; /* not yet written, from `at` on */
  size_t at;
  uint64_t wrote; /* bytes */
  double sent_at; /* when the last of them was, */
  double full_at; /* and when the kernel last took no more */
  bool reads, closed;
  double began, closed_at;

  /* What it has read. */
  uint8_t in[65536];
  size_t have;
  uint32_t skip; /* of a frame whose payload is not looked at */
  uint64_t frames[16];
  uint32_t goaway; /* the code of the last one */
  unsigned ended;  /* streams that the server has ended or reset */

  /* For whoever says what it says. */
  uint32_t next_id;
  int phase;
  uint64_t said;
  double told[2];  /* when it said the last but one, and the last */
  unsigned waited; /* calls that were not reset before their time, as it was held up itself */
} foe;

/* Seconds of a clock that never goes back, without those in which the machine stood still: then
 * nobody looked at it. */
double now(void);
/* Sleeps, and looks at it. */
void rest(unsigned us);

/* Connects; the preface and SETTINGS with this initial window are queued unless it is
 * negative. Exits when the server is not there. */
void foe_open(foe *f, int port, bool reads, int64_t window);
void foe_close(foe *f);
/* Writes and reads what can be; notes the end. */
void foe_move(foe *f);

/* Is the server well: does a call on a connection of its own get its answer? Returns the
 * seconds that took, or a negative number. */
double ask_kindly(int port, const char *path);

#endif
