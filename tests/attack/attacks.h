/* The attacks: what each foe says, and what it may cost. */
#ifndef ATTACK_ATTACKS_H
#define ATTACK_ATTACKS_H

#include "wire.h"

#include <caw/limits.h>

/* A frame of any stream. */
typedef struct frame {
  unsigned type, flags;
  const char *payload;
  size_t len;
} frame;

typedef struct attack {
  const char *name;
  /* What a foe says, in one of three ways. */
  bool (*more)(foe *f);               /* says more, into f->out; false: there is no more to say */
  void (*first)(foe *f, uint32_t id); /* begins many calls, */
  const frame *then;                  /* and once their handlers run, this for each */
  const frame *flood;                 /* again and again, after `first` of one call if it is set, */
  uint32_t id;                        /* of this stream */

  bool quick;     /* with limits of time that a test can wait for */
  bool tls;       /* at the entrance with TLS */
  bool deaf;      /* nothing is read */
  int foes;       /* at once; 0: 1 */
  int64_t window; /* initial window; -1: no preface; 0: 1 MiB */
  bool shut;      /* it is the window of no octet */
  double seconds; /* to go on for; 0: 1 */

  /* What must come of it. */
  bool closes;      /* within a second of the breach, which is: */
  double after;     /* seconds after the begin */
  caw_limit limit;  /* that must be hit; CAW_LIMIT_NONE: any or none */
  uint32_t or_code; /* the connection's error that will do instead; 0: none will */
  long handlers;    /* at most, for each foe; 0: none; -1: as many as like */
  bool timed;       /* how many depends on a clock: with sanitizers they are not judged */
  double memory;    /* MiB for each foe; 0: 1 */
  double cpu_ms;    /* for each foe; 0: as may be */
  unsigned ends;    /* calls that must have come to their end, at least */
} attack;

/* Has a foe say more, into f->out; false: there is no more to say. */
bool attack_says(const attack *a, foe *f);

extern const attack attacks[];
extern const size_t n_attacks;

/* The time limits of those that are quick, seconds. */
#define QUICK 0.4

#endif
