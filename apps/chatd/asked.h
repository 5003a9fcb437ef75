/*
 * What a Chat stream was asked for, on its way through the desk and back. There may be a
 * thousand at any time and a hundred thousand in a second, so a loop keeps spare ones.
 */
#ifndef CHATD_ASKED_H
#define CHATD_ASKED_H

#include "desk.h"
#include "hub_inner.h"
#include "task.h"

typedef struct asked {
  desk_job job; /* first: the job is the thing asked for */
  task task;
  struct asked *next;
  feed *stream; /* a reference, while it is with the desk */
  bool acks;    /* a message, which gets an ack in its turn */
  atomic_bool done;
  int rc;
  union {
    chat_v1_send_request send;
    chat_v1_mark_read_request mark;
    chat_v1_send_typing_request typing;
  } request;
  union {
    chat_v1_send_response send;
    chat_v1_mark_read_response mark;
    chat_v1_send_typing_response typing;
  } reply;
} asked;

/* One that says nothing yet, with an arena; NULL without memory. On the shard's loop. */
asked *asked_new(shard *s);

/* Gives it back. On the shard's loop. */
void asked_spare(shard *s, asked *a);

/* Frees it. Any thread; NULL is fine. */
void asked_free(asked *a);

/* Frees those that a shard has to spare. */
void asked_free_all(shard *s);

#endif
