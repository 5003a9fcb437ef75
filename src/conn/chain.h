/*
 * The interceptors of one call (caw/interceptor.h): who was asked, the one decision that may be
 * awaited, and what the program has sent meanwhile. It calls interceptors, and knows nothing
 * of what their answers mean: that is src/server's and src/client's business. A call
 * without interceptors and credentials has no chain.
 */
#ifndef CONN_CHAIN_H
#define CONN_CHAIN_H

#include "base/cells.h"
#include "conn/call.h"

#include <caw/interceptor.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

typedef struct chain_entry {
  caw_interceptor hooks;
  void *user;
} chain_entry;

/* What a server or a channel was given, in order; never changed. Its calls hold it
 * too: one whose callback frees the channel comes to its end afterwards. */
typedef struct chain_list {
  atomic_uint refs;
  bool hears_headers, hears_messages, hears_status; /* any of the entries */
  size_t len;
  chain_entry entries[];
} chain_list;

/* Puts a longer list in place of *all, which may be NULL. 0, CAW_EINVAL, CAW_ENOMEM. */
int chain_list_add(chain_list **all, const caw_interceptor *interceptor, void *user);
/* Gives a reference back; NULL is fine. */
void chain_list_unref(chain_list *all);

/* What may be changed now. */
typedef enum chain_phase {
  CHAIN_CLOSED,      /* nothing */
  CHAIN_REQUEST,     /* on_request, and until its decision: the request; on a server all */
  CHAIN_CREDENTIALS, /* client: the secrets that go with the request */
  CHAIN_HEADERS,     /* on_headers */
  CHAIN_STATUS       /* on_status: the trailers */
} chain_phase;

/* The one answer that a call may wait for. */
typedef enum chain_answer {
  CHAIN_NO_QUESTION, /* nobody was asked */
  CHAIN_ASKED,       /* somebody is being asked, or owes an answer */
  CHAIN_ANSWERED,    /* the answer is on its way to the loop */
  CHAIN_TOO_LATE     /* the call is over; the answer is still owed */
} chain_answer;

/* Messages that a call's chain keeps without memory of their own. */
#define CHAIN_KEPT 2

typedef struct call_chain {
  caw_call *call;
  chain_list *list;           /* NULL: none, there are credentials only */
  size_t asked;               /* how many of the list */
  _Atomic(chain_phase) phase; /* a handler on another thread may look: chain_fail */
  bool told_cancel;
  bool waits; /* loop's thread: an answer is owed, so somebody may look from elsewhere */

  /* phase, answer, code, text; and arena, fail_text and the lists of metadata while
   * somebody on another thread may change them: from a question to its answer */
  pthread_mutex_t lock;
  chain_answer answer;
  int code;
  char *text;
  io_post post;
  bool arrived; /* the answer is here: chain_take_answer */

  /* For metadata that interceptors add: the call's own arenas are the loop's and the
   * handler's, who may be at work while an interceptor on another thread decides. */
  caw_arena arena;
  caw_str fail_text; /* of caw_call_fail */

  /* What the program has sent, until the call's turn. */
  caw_payload **out; /* own, until it is more */
  size_t out_len, out_room;
  caw_payload *own[CHAIN_KEPT];
  bool send_headers; /* server: before all */
  bool end;          /* and the end behind it */
  int end_code;
  char *end_text;
} call_chain;

static inline chain_phase chain_phase_of(const call_chain *c) {
  return atomic_load_explicit(&c->phase, memory_order_relaxed);
}

/* Gives a new call its chain; `all` may be NULL. 0 or CAW_ENOMEM. */
int chain_new(caw_call *call, chain_list *all);
/* With the call; `of`: the loop's, on its thread, or NULL. */
void chain_free(call_chain *c, cells *of);

/*
 * Asks the interceptors that were not asked yet. Returns 0 when all have let the call
 * pass, CAW_PENDING, or what one of them said (c->fail_text may have a text). Stops,
 * with 0, when the call is cancelled meanwhile.
 */
int chain_ask(call_chain *c);

/* The frame around a question to whoever may answer by caw_call_decide: `rc` is what he
 * returned. Gives CAW_PENDING when the answer comes later, else `rc`. */
void chain_begin_question(call_chain *c, chain_phase phase);
int chain_end_question(call_chain *c, int rc);

/* Is the answer here that was awaited? Then *code (and c->fail_text) are what it says. */
bool chain_take_answer(call_chain *c, int *code);

/* An answer is awaited, and the call is cancelled: tells the interceptor, once. */
void chain_cancel(call_chain *c);

/* The call is over: a late answer finds nobody. */
void chain_end_waiting(call_chain *c);

/* caw_call_fail of one who is being asked; false when nobody is. */
bool chain_fail(call_chain *c, const char *format, va_list args) CAW_PRINTF(2, 0);

/* Does an interceptor hear of what goes out? Then that waits for the call's turn. */
static inline bool chain_follows(const call_chain *c) {
  const chain_list *l = c->list;
  return l && (l->hears_headers || l->hears_messages || l->hears_status);
}

/* The way of a call through its interceptors. */
void chain_headers(call_chain *c);
void chain_message(call_chain *c, bool sent, bool compressed, size_t size, size_t travels);
void chain_status(call_chain *c, caw_status *status);
void chain_done(call_chain *c, const caw_status *status);

/* Keeps a payload (with a reference of its own) for the call's turn. 0 or CAW_ENOMEM. */
int chain_keep(call_chain *c, caw_payload *payload);
/* Drops what is kept. Loop's thread. */
void chain_drop(call_chain *c);

#endif
