/*
 * Streams: calls that hear of rooms, each belonging to its loop. A stream has subs, one per
 * room. A sub reads what was missed from the store, page by page, then follows the room's
 * ring, and goes back to the store when it has fallen behind that.
 *
 * What is slow waits: a stream whose queue is full keeps nothing but its position.
 */
#ifndef CHATD_FEED_H
#define CHATD_FEED_H

#include "access.h"
#include "chatd.h"
#include "hub_inner.h"

typedef enum sub_state {
  SUB_READING, /* wants a page from the store */
  SUB_BEHIND,  /* follows the ring, at its own place in it */
  SUB_LIVE,    /* has all that the place has */
  SUB_POLLING  /* has all that was in the store; looks again when something comes */
} sub_state;

typedef struct sub {
  feed *stream;
  place *place;                     /* NULL: of a stream that only reads */
  struct sub *next_mine, **at_mine; /* of the feed */
  struct sub *next, **at;           /* in a list of the place's; at NULL: in none */
  struct sub *next_page, **at_page; /* waits for a page; at NULL: it does not */
  uint64_t serial;                  /* no other sub of the stream had it */
  int64_t room_id;
  int64_t number; /* the newest message that was sent, or behind which it began */
  int64_t to;     /* reads up to this message; 0: all */
  uint64_t seq;   /* BEHIND: the next item */
  int64_t mark;   /* a read mark to be told; 0: none */
  sub_state state;
  bool catching; /* CaughtUp is to be told when it has */
  bool rejoined; /* the user came back: what says that they went may be older than that */
} sub;

/* A room that the user entered while the stream was looking at what to listen to. */
typedef struct entered {
  struct entered *next;
  int64_t room_id, number;
} entered;

struct feed {
  shard *shard;
  caw_call *call;
  chatd *app;
  caller who;
  form form;
  atomic_uint refs;
  feed *next_of_user, **at_user; /* among the user's streams; at NULL: not among them */
  feed *next_full, **at_full;    /* among the full ones; at NULL: it is none */
  feed *next_beat, **at_beat;    /* in the wheel */
  feed *next_hungry;             /* wants a page */
  bool hungry;
  feed *next_acked; /* under the hub's lock */
  bool acking;      /* the same */
  sub *subs;
  size_t n_subs;
  idmap by_room; /* of the subs, when there are many */
  uint64_t serials;
  entered *entered;
  unsigned looking;               /* looks at the store that are not back yet (subscribe.c) */
  sub *reading, **reading_end;    /* wait for a page */
  struct page *page;              /* read, and not sent yet */
  bool fetching;                  /* a page is being read */
  bool over;                      /* finished */
  bool all;                       /* of rooms that the user enters, too */
  uint64_t full_since, last_sent; /* caw_loop_now */
  uint64_t heartbeat;             /* nanoseconds; 0: none */
  /* A chat's: sends what waits besides events, false when the queue is full. */
  bool (*flush)(feed *st);
  void (*leave)(feed *st); /* the server shuts down; NULL: the stream ends */
  void (*gone)(feed *st);  /* before its memory goes; any thread */
};

/* Prepares a stream, of one reference, the call's, and puts it among its user's. The events
 * of the call are the stream's from now on. 0 or CAW_ENOMEM. */
int feed_open(feed *st, chatd *app, caw_call *call, form f);

feed *feed_ref(feed *st);
void feed_unref(feed *st); /* the last frees it: caw_free */

/* Finishes the call, once. `reason` may be NULL. */
void feed_end(feed *st, int code, const char *reason, const char *text);

/* Sends; CAW_EAGAIN: the queue is full, on_drain goes on. */
int feed_send(feed *st, caw_payload *payload);
int feed_send_message(feed *st, const caw_type *type, const void *message);

/* Begins to follow a room behind the message of a number. Followed already: 0, and it stays as it
 * was. CAW_ENOMEM. */
int feed_follow(feed *st, int64_t room_id, int64_t number);
void feed_unfollow(feed *st, int64_t room_id);

/* Reads messages behind `number` up to `to`, and ends with OK. CAW_ENOMEM. */
int feed_read_all(feed *st, int64_t room_id, int64_t to);

/* Sets the time of silence after which there is a heartbeat. */
void feed_heartbeat(feed *st, uint64_t ns);

/* Follows the rooms that the user entered while the stream was looking. CAW_ENOMEM. */
int feed_follow_entered(feed *st);

/* A chat's sends are done: has its loop flush it. Any thread. */
void feed_acked(feed *st);

/* ---- Errands: what the desk's readers do for a stream ---- */

struct errand {
  desk_job job; /* first: the job is the errand */
  errand *next;
  feed *stream; /* a reference */
  int rc;       /* what the work returned */
  /* The outcome, on the stream's loop, once, also when the stream is over. Frees it. */
  void (*back)(errand *e);
};

/* Sends it to a reader. 0, or what desk_read says: it comes not back then. */
int errand_send(errand *e, feed *st, int (*work)(desk_job *job, store *s), void (*back)(errand *e));

/* What an event is in the form of a stream: the message to be encoded, of *type. */
typedef struct framed {
  union {
    chat_v1_chat_response chat;
    chat_v1_read_all_response all;
  } u;
} framed;
const void *frame_event(framed *out, form f, const chat_v1_event *event, const caw_type **type);

/* ---- page.c: pages from the store ---- */

#define PAGE_MOST 128

typedef struct page {
  errand errand; /* first: it is one */
  int64_t room_id, from, to;
  uint64_t sub;  /* whose it is, by its serial */
  uint64_t mark; /* the ring behind it has what is not in the page, or is on its way */
  bool live;     /* there is a ring */
  form form;
  caller who;
  bool admins; /* they may read public rooms that they are not in */
  caw_arena *arena;
  /* What was found. */
  bool gone; /* the user may not read this room any more */
  bool at_end;
  size_t n, sent;
  caw_payload *payloads[PAGE_MOST + 1];
  int64_t numbers[PAGE_MOST + 1]; /* after it was sent, the reader has these */
  int64_t upto;                   /* and after all of them */
} page;

/* Has a page for the sub read; it comes back to feed_take_page. 0 or why it cannot be. */
int page_fetch(feed *st, const sub *s);
void page_free(page *p);

/* feed.c: a page is here. */
void feed_take_page(errand *e);

#endif
