/*
 * Random messages from the tables of their types, the same on every machine for
 * the same seed; and a normal form, so that two of them can be compared.
 */
#ifndef TESTS_PB_MESSAGES_H
#define TESTS_PB_MESSAGES_H

#include <caw/pb.h>

typedef struct rng {
  uint64_t state;
} rng;

uint64_t rng_next(rng *r);

/* A number below n. */
uint64_t rng_below(rng *r, uint64_t n);

/* Fills a zeroed message from the arena; `depth` more levels may follow. */
void messages_fill(rng *r, const caw_pb_message *t, void *m, caw_arena *arena, int depth);

/* Sorts the maps of a message by their keys, and of all messages below. */
void messages_normalize(const caw_pb_message *t, void *m);

#endif
