/* What both faces of the peer client share; see client.c. */
#ifndef PEERS_CLIENT_H
#define PEERS_CLIENT_H

#include <peer.caw.h>

#define MAX_META 32

/* A line of standard input, and what has come of it. */
typedef struct job {
  caw_arena *arena;
  caw_method method;
  peer_order order;
  caw_call_options options;
  caw_metadata_entry meta[MAX_META];
  size_t n_meta;
  int n, count, cancel_after;
  bool wait_cancel, wait_read, open, quiet;
  int done, codes[17];
  int64_t replies;
  bool disorder, shown;
} job;

/* One call of a job. */
typedef struct attempt {
  job *job;
  int64_t replies;
  int sent;
  bool disorder;
} attempt;

job *job_read(char *line);
void job_free(job *j);
bool job_sends_many(const job *j);
peer_order job_order(const job *j, int i);

void attempt_reply(attempt *a, const peer_answer *reply);
void attempt_done(attempt *a, int code, caw_str text);

void print_hex(caw_str s);
void print_metadata(const char *what, const caw_metadata *m);

/* client_callback.c and client_blocking.c */
int callback_main(const char *target);
int blocking_main(const char *target);

#endif
