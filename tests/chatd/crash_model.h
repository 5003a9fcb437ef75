/*
 * A chat's work on a disk of disk.h, and the knowledge of what must be found there: several
 * senders write messages, accounts, sessions and members through the desk, send again, have
 * old messages forgotten and read. What was acknowledged, and what a reader was shown, must
 * be there for ever; what was asked for and not acknowledged as a whole, or not at all.
 */
#ifndef TESTS_CHATD_CRASH_MODEL_H
#define TESTS_CHATD_CRASH_MODEL_H

#include "desk.h"
#include "disk.h"

#define CRASH_PATH "chat.db"

/* Forgets everything: the disk is a new one. */
void crash_new(void);

/* Writes may fail (not readings); else only the loss of power is a reason. */
void crash_breaks(bool breaks);

/* Opens the desk; NULL with a sentence. */
desk *crash_open(uint64_t *state, char why[400]);

/* Makes users and rooms unless they are there, and sends until all is done or nothing goes
 * on: each sender at most `most` operations. */
void crash_send(uint64_t *state, uint32_t most);

/* Is everything there? What is there is known for the next time. */
void crash_check(store *s);

/* Notes what is wrong; the first is kept. */
void crash_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The first thing that was wrong, or NULL. */
const char *crash_what_is_wrong(void);

/* Has the desk said that the disk is broken, since it was opened? */
bool crash_broken(void);

/* Operations acknowledged and not, so far. */
void crash_counts(long *acknowledged, long *refused);

/* A number below `of`. */
uint32_t crash_chance(uint64_t *state, uint32_t of);

#endif
