/* What both faces of the peer server do with an order. */
#ifndef PEERS_ANSWER_H
#define PEERS_ANSWER_H

#include "notes.h"

/* What a call has come to. */
typedef struct progress {
  note *note;
  peer_order order; /* the first; its strings live as long as the call */
  peer_answer seen; /* what the handler saw; numbers and borrowed strings */
  int64_t index;    /* of the last request */
} progress;

/* Begins with the first order: writes its note, sends metadata back. 0 or what
 * the handler is to return. */
int progress_begin(progress *p, caw_call *call, const peer_order *first, bool copy);

/* Counts a request. */
void progress_request(progress *p, const peer_order *order);

/* The reply with this number; its bytes live in `arena`. 0 or CAW_ENOMEM. */
int progress_answer(const progress *p, peer_answer *out, int64_t index, caw_arena *arena);

/* The reply to a request of Both. */
int progress_echo(const peer_order *order, peer_answer *out, int64_t index, caw_arena *arena);

int callback_add(caw_server *server);
int blocking_add(caw_server *server);

#endif
