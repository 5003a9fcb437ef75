/*
 * The inside of a client's call, which three files share: call.c has its life and its
 * outcome, ask.c those who are asked before it is sent, send.c what it sends. For these
 * alone; everything belongs to the call's loop.
 */
#ifndef CLIENT_CALL_H
#define CLIENT_CALL_H

#include "client/client.h"

/* Whom a call asks. Without interceptors and credentials it is never but READY. */
typedef enum client_step {
  STEP_READY,        /* nobody: it waits for a connection, or has one */
  STEP_INTERCEPTORS, /* the interceptors, before anything else */
  STEP_CREDENTIALS   /* its credentials: it could be sent */
} client_step;

struct client_call {
  caw_call base;
  caw_channel *channel;
  list node, wait;
  caw_client_events events;
  caw_unary_done unary; /* instead of events.on_message and on_done */
  void *user;
  rpc_metadata metadata; /* to be sent; in the protocol arena, or the chain's */
  bool wait_for_ready;

  client_step step;
  bool asking;                          /* an answer is awaited */
  caw_call_credentials *credentials[2]; /* the channel's and the call's */
  size_t credentials_asked;             /* of all their plugins */
  bool credentials_ready;
  caw_credentials_context context;
  rpc_metadata secrets; /* what credentials said; in the chain's arena */

  /* What was sent so far, until the server is known to have seen the call. */
  caw_payload **replay;
  size_t replay_len, replay_room, replay_bytes;
  size_t framed;    /* bytes that left the queue on this stream */
  bool half_closed; /* the program sends no more */
  bool committed;   /* no retry any more; `replay` is empty */
  bool retried;

  bool told_metadata;
  bool decided;  /* `status` is the outcome */
  bool told;     /* on_done was called */
  bool on_stack; /* its dispatch is running: user code may free the channel */
  caw_status status;
  void *reply; /* of the unary form */

  /* stats.c: the channel's row of the method, NULL: nobody counts; and since when, on the real
   * clock. What was sent before an attempt, was sent again by it. */
  struct metrics_row *row;
  uint64_t began, attempt_began;
  bool counts;  /* somebody counts */
  bool attempt; /* one was begun and has not ended */
};

static inline client_call *client_call_of(caw_call *call) {
  return (client_call *)(void *)call;
}

/* Has it a stream? */
static inline bool client_attached(const client_call *cc) {
  return cc->base.rpc.stream != NULL;
}

/* ---- call.c ---- */

/* The call ends by our side: resets the stream; the program is told in the call's turn. */
void client_abort(caw_call *call, int code, const char *text);
/* Gives the call to the channel, with what was sent already; or to those who are asked
 * first. */
void client_launch(client_call *cc);

/* ---- stats.c: each does nothing when nobody counts ---- */

/* The call begins; it has what it needs, and is one; its next attempt begins; that has ended; the
 * call has. */
void client_stats_call_began(client_call *cc);
void client_stats_call_stands(client_call *cc);
void client_stats_attempt_began(client_call *cc);
void client_stats_attempt_ended(client_call *cc, int code);
void client_stats_call_ended(client_call *cc, int code);

/* ---- ask.c ---- */

/* Notes whom a new call will ask. 0 or CAW_ENOMEM. */
int ask_begin(client_call *cc, const caw_call_options *o);
/* Begins to ask, or takes the answer that has come and goes on. */
void ask_turn(client_call *cc);
/* A connection is there: are the credentials at hand, and may they be sent on it? Else they
 * are asked in the call's turn, or the call fails. True without credentials. */
bool ask_at(client_call *cc, const conn *c);

/* ---- send.c ---- */

/* call_class.send and end. */
int send_message(caw_call *call, caw_payload *payload);
void send_end(caw_call *call, int code, char *text);
/* What the program has sent in this turn passes the interceptors. */
void send_kept(client_call *cc);
/* The stream is new: sends what was sent before. 0 or CAW_ENOMEM. */
int send_replay(client_call *cc);
/* The server has seen the call: no retry any more, and nothing is kept for one. */
void send_commit(client_call *cc);

#endif
