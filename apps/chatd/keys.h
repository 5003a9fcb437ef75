/*
 * Passwords and tokens. A password is kept as argon2id (19 MiB, two passes: OWASP's
 * advice), which takes some 30 ms and so has threads of its own with a bounded queue:
 * log-ins cannot slow the chat. A token is 256 random bits, known to the server by its
 * SHA-256 alone.
 */
#ifndef CHATD_KEYS_H
#define CHATD_KEYS_H

#include "jobs.h"

#include <caw/str.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEYS_TOKEN  44  /* bytes of a token's text, with NUL */
#define KEYS_SECRET 128 /* of a kept password, with NUL */
#define KEYS_CODE   20  /* of a reset code, with NUL: 4 groups of 4 and dashes */

/* Call once, before anything else. 0, or -1: the system gives no random bytes. */
int keys_init(void);

/* A new token, and its hash. */
void keys_token(char text[KEYS_TOKEN], uint8_t hash[32]);

/* A new code that people can read to each other: 80 random bits. */
void keys_code(char text[KEYS_CODE], uint8_t hash[32]);

/* The hash of a token; of a code, dashes, blanks and case aside. */
void keys_hash(uint8_t hash[32], caw_str token);
void keys_hash_code(uint8_t hash[32], caw_str code);

/* ---- Passwords ---- */

typedef struct keys_pool keys_pool;
typedef struct keys_job keys_job;

/* A password to be kept, or to be compared with what is kept; embedded in what the asker
 * keeps until `done`. */
struct keys_job {
  jobs_link link;              /* the pool's */
  caw_str password;            /* the asker's, until done; it should be wiped then */
  char secret[KEYS_SECRET];    /* to be compared with; empty: it is made here */
  bool right;                  /* compared: it fits. Made: it could be */
  void (*done)(keys_job *job); /* on a thread of the pool; must not wait */
};

/* `threads` 1 to 16, `queue` jobs may wait. Returns 0, CAW_ENOMEM, CAW_ELIMIT. */
int keys_pool_new(keys_pool **out, size_t threads, size_t queue);

/* Queues a job; any thread. To compare with a user who does not exist, give
 * keys_nobody's secret: it takes as long. 0, CAW_EAGAIN (too many wait), CAW_ECLOSED. */
int keys_pool_put(keys_pool *pool, keys_job *job);

/* A secret that no password fits. */
const char *keys_nobody(void);

/* Does what is queued, then ends the threads. NULL is fine. */
void keys_pool_free(keys_pool *pool);

#endif
