/*
 * Interceptors for tests: two of them at a duo's server or channel, A outside of B, which
 * answer as the test says and note what they hear under their letters.
 */
#ifndef TESTS_SPY_H
#define TESTS_SPY_H

#include "duo.h"

#include <caw/interceptor.h>

typedef struct spy {
  duo *d;
  char letter;
  char *log; /* "A?;A in 7;A headers;A OK;A done;" */
  size_t room;
  int answer; /* of on_request */
  const char *text;
  caw_call *pending; /* whose decision is owed */
  int n_cancel, n_status, n_done, done_code;
  bool trailers_only; /* nothing went before the status: a server's */
  void (*on_request)(struct spy *s, caw_call *call);
  void (*on_headers)(struct spy *s, caw_call *call);
  void (*on_status)(struct spy *s, caw_call *call, caw_status *status);
} spy;

/* What is given to caw_server_intercept and caw_channel_intercept, with a spy. */
extern const caw_interceptor spy_hooks;

/* Options of the duo, and what the spies do, may be set before (zero it first). */
typedef struct pair {
  duo d;
  spy a, b;
  char journal[2048]; /* a channel's; a server's spies note in d.log, among its events */
} pair;

void pair_at_server(pair *p);
void pair_at_channel(pair *p);

/* Runs until the spy has been asked and has left its decision open. */
void pair_until_pending(pair *p, const spy *s);

#endif
