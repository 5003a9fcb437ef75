/*
 * caw_stream behind caw/blocking.h: a mailbox between the callbacks of a call,
 * on its loop, and a thread that blocks. It uses the public callback face only,
 * but that it compresses before it takes its lock.
 * The call carries raw bytes; the blocking thread encodes and decodes. What is
 * particular to clients and servers is in their folders' blocking.c.
 */
#ifndef CONN_MAILBOX_H
#define CONN_MAILBOX_H

#include <caw/blocking.h>
#include <pthread.h>
#include <stdatomic.h>

/* A method whose messages are raw bytes, beside the real one. */
typedef struct raw_method {
  caw_method method;
  caw_codec codec; /* raw bytes, under the name of the real codec */
  caw_type type;
  const caw_method *real;
} raw_method;

void raw_method_init(raw_method *raw, const caw_method *real);

/* A received message that nobody has read. */
typedef struct letter {
  struct letter *next;
  size_t len;
  uint8_t bytes[];
} letter;

struct caw_stream {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  const caw_type *in, *out; /* the types read and written by this side */
  caw_call *call;           /* with a reference; set before anybody reads it */
  raw_method *raw;          /* client: the method of the call; owned */

  /* Under the lock. */
  letter *first, **last;
  size_t waiting; /* bytes in letters */
  bool paused;    /* the call is paused until they are read */
  bool ended;     /* no more messages will come */
  bool cancelled; /* server: the call was cancelled */
  bool done;      /* on_done was called */
  bool lost;      /* a message was lost for want of memory */
  caw_status status;
  char *status_text;

  atomic_uint refs;
};

/* Prepares a stream with one reference. 0 or CAW_ENOMEM. */
int mailbox_new(caw_stream **out, const caw_type *in, const caw_type *output);
caw_stream *mailbox_ref(caw_stream *s);
void mailbox_unref(caw_stream *s);

/* From the call's callbacks, on its loop. */
void mailbox_deliver(caw_stream *s, caw_call *call, caw_str bytes);
void mailbox_end(caw_stream *s);
void mailbox_cancel(caw_stream *s);
void mailbox_drain(caw_stream *s);
void mailbox_done(caw_stream *s, const caw_status *status);

/* Waits until on_done was called. */
void mailbox_wait_done(caw_stream *s);

/* Sends an encoded message, waiting while the queue is full. */
int mailbox_write_payload(caw_stream *s, caw_payload *payload);

/* Drops what nobody read and lets the call go on. */
void mailbox_discard(caw_stream *s);

/* Decodes `bytes` of a type into a zeroed message, copied into the arena. */
int mailbox_decode(const caw_type *type, caw_str bytes, void *message, caw_arena *arena);

#endif
