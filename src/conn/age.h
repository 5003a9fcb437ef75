/*
 * How long a server's connection may be idle, and how long it may exist (gRFC A9).
 * Times are on the loop's clock, nanoseconds. Private to src/conn, but for the
 * settings.
 */
#ifndef CONN_AGE_H
#define CONN_AGE_H

#include "io/loop.h"

typedef struct conn conn;

/* 0: no limit. */
typedef struct age_config {
  uint64_t max_idle; /* without a call, until the connection is drained */
  uint64_t max_age;  /* of the connection, +-10 %, until it is drained */
  uint64_t grace;    /* for its calls after that */
} age_config;

typedef struct age {
  io_timer timer;
  uint64_t idle_since; /* its last call ended */
  uint64_t end;        /* of its age, UINT64_MAX: none */
  bool on;             /* `timer` is in use */
  bool over;           /* it is being drained for its age */
} age;

/* The connection is there. 0 or CAW_ENOMEM. */
int age_init(conn *c);

void age_finish(conn *c);

/* Its last call has ended. */
void age_idle(conn *c);

/* It takes no more calls: the grace begins. */
void age_final(conn *c);

#endif
