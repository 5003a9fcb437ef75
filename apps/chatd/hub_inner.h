/* The inside of the hub, shared by hub.c (any thread, under the lock) and those that run on the
 * loops: feed.c, shard.c, pace.c. */
#ifndef CHATD_HUB_INNER_H
#define CHATD_HUB_INNER_H

#include "hub.h"
#include "idmap.h"

#include <caw/loop.h>
#include <caw/payload.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What an event is sent as. */
typedef enum form {
  FORM_EVENT, /* chat.v1.Event */
  FORM_CHAT,  /* chat.v1.ChatResponse */
  FORM_ALL,   /* chat.v1.ReadAllResponse; from the store only */
  FORM_LOBBY  /* Message without a package; from the store only */
} form;
#define RING_FORMS 2

/* An event in a ring. */
typedef struct item {
  atomic_uint refs;
  int64_t number; /* of a message; 0: something else */
  int64_t except; /* a user who does not get it */
  int64_t leaves; /* a user for whom it is the last of this room */
  size_t bytes;   /* what the ring has counted for it; under the hub's lock */
  caw_payload *forms[RING_FORMS];
} item;

void item_unref(item *i);

typedef struct hub_room hub_room;
typedef struct place place;
typedef struct shard shard;
typedef struct feed feed;
typedef struct errand errand;

/* A room that somebody listens to. All under the hub's lock. */
struct hub_room {
  int64_t id;
  int64_t last;        /* number of the newest message that came; 0: none yet */
  uint64_t first, end; /* the ring has the items first .. end - 1 */
  item **ring;
  size_t room, bytes; /* of the ring; of its payloads */
  place *places;
  struct typing *typing; /* who was typing lately; NULL: nobody yet */
};

/* Something that a shard is to hear besides events. */
typedef struct notice {
  struct notice *next;
  void (*tell)(shard *s, const struct notice *n);
  int64_t room_id, user_id, session_id, number;
} notice;

/* A loop's side of the hub. */
struct shard {
  hub *hub;
  caw_loop *loop;

  /* Under the lock. */
  bool posted;   /* the loop is on its way to look */
  bool confused; /* a notice was lost for want of memory */
  place *dirty;
  notice *notices, **notices_end;
  errand *back, **back_end; /* they come back from the desk */
  feed *acked;              /* with sends that are done */

  /* The loop's. */
  idmap places;               /* by room */
  idmap users;                /* first stream of each */
  feed *full;                 /* those whose queue is */
  feed *hungry, **hungry_end; /* they want a page of the store */
  unsigned fetching;          /* pages that are being read */
  caw_timer *tick;            /* every second while there are streams */
  size_t streams;
  unsigned slot;
  struct asked *spare; /* asked.h */
  unsigned spares;
  feed *wheel[512]; /* by the second in which a heartbeat may be due */
};

/* A room on a loop. */
struct place {
  hub_room *room;
  shard *shard;
  place *next;                   /* of the room; under the lock */
  place *next_dirty, **at_dirty; /* the same; at NULL: it is not dirty */

  /* The loop's. */
  size_t subs;
  uint64_t seq;   /* the item that the live ones want next */
  int64_t number; /* the newest message before it; 0: none */
  struct sub *live, *behind, *polling;
};

struct hub {
  pthread_mutex_t lock;
  idmap rooms;
  shard *shards[64];
  size_t n;
  size_t bytes;          /* of all rings */
  atomic_size_t streams; /* of all shards */
};

/* Has the shard's loop look at the place. Under the lock. */
void place_dirty(place *p);
void place_clean(place *p);

/* Has the shard's loop look at what came. Under the lock. */
void shard_wake(shard *s);

/* The shard of a loop, made when it is the first time; NULL without memory. */
shard *hub_shard(hub *h, caw_loop *loop);

/* shard.c: looks at all that came. On the loop. */
void shard_turn(shard *s);

/* shard.c: frees what a shard has, when its loop runs no more. */
void shard_free(shard *s);

/* The payload of an item of a room's ring in one of its forms, made if need be; NULL without
 * memory. Under the lock; the reference is the item's. */
caw_payload *item_form(hub *h, hub_room *r, item *i, form f);

/* Where the ring of a room ends now: what is published later comes behind it. Any thread. */
uint64_t hub_mark(hub *h, int64_t room_id);

/* Finds or makes the room, and adds the place to it. Under the lock. */
bool hub_enter(hub *h, int64_t room_id, place *p);
void hub_leave(hub *h, place *p);

/* feed.c: what notices do. */
void tell_joined(shard *s, const notice *n);
void tell_read(shard *s, const notice *n);
void tell_end(shard *s, const notice *n);

#endif
