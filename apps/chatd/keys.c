/* The passwords and tokens of keys.h. */
#include "keys.h"

#include <caw/alloc.h>
#include <caw/status.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#define PASSES 2
#define MEMORY ((size_t)19 * 1024 * 1024)
#define MOST   16

static char nobody[crypto_pwhash_STRBYTES];

_Static_assert(KEYS_SECRET >= crypto_pwhash_STRBYTES, "a kept password fits");
_Static_assert(KEYS_TOKEN ==
                   sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_URLSAFE_NO_PADDING),
               "a token fits");

int keys_init(void) {
  char unknown[32];
  if (sodium_init() < 0) return -1;
  randombytes_buf(unknown, sizeof(unknown));
  return crypto_pwhash_str_alg(nobody, unknown, sizeof(unknown), PASSES, MEMORY,
                               crypto_pwhash_ALG_ARGON2ID13);
}

const char *keys_nobody(void) {
  return nobody;
}

/* ---- Tokens and codes ---- */

void keys_hash(uint8_t hash[32], caw_str token) {
  crypto_hash_sha256(hash, (const uint8_t *)(token.len ? token.data : ""), token.len);
}

void keys_token(char text[KEYS_TOKEN], uint8_t hash[32]) {
  uint8_t bits[32];
  randombytes_buf(bits, sizeof(bits));
  sodium_bin2base64(text, KEYS_TOKEN, bits, sizeof(bits), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
  sodium_memzero(bits, sizeof(bits));
  keys_hash(hash, caw_str_from(text));
}

/* Crockford's letters: none that looks like another. */
static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz";

void keys_code(char text[KEYS_CODE], uint8_t hash[32]) {
  uint8_t bits[16];
  size_t len = 0;
  randombytes_buf(bits, sizeof(bits));
  for (size_t i = 0; i < sizeof(bits); i++) {
    if (i && i % 4 == 0) text[len++] = '-';
    text[len++] = letters[bits[i] % 32];
  }
  text[len] = '\0';
  sodium_memzero(bits, sizeof(bits));
  keys_hash_code(hash, caw_str_from(text));
}

void keys_hash_code(uint8_t hash[32], caw_str code) {
  char plain[16];
  size_t len = 0;
  bool fits = true;
  for (size_t i = 0; i < code.len; i++) {
    char c = code.data[i];
    if (c == '-' || c == ' ') continue;
    if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
    if (len < sizeof(plain)) plain[len++] = c;
    else fits = false;
  }
  keys_hash(hash, fits ? caw_str_of(plain, len) : code);
  sodium_memzero(plain, sizeof(plain));
}

/* ---- Passwords ---- */

struct keys_pool {
  jobs_queue queue;
  pthread_t threads[MOST];
  size_t n;
};

static void do_job(keys_job *job) {
  if (job->secret[0]) {
    job->right = !crypto_pwhash_str_verify(job->secret, job->password.data, job->password.len);
  } else {
    job->right = !crypto_pwhash_str_alg(job->secret, job->password.data, job->password.len, PASSES,
                                        MEMORY, crypto_pwhash_ALG_ARGON2ID13);
  }
  job->done(job);
}

static void *work_on(void *arg) {
  keys_pool *p = arg;
  jobs_link *job;
  while ((job = jobs_take(&p->queue, 1, JOBS_FOR_EVER, NULL))) do_job((keys_job *)job);
  return NULL;
}

int keys_pool_new(keys_pool **out, size_t threads, size_t queue) {
  keys_pool *p = caw_malloc(sizeof(*p));
  if (!p) return CAW_ENOMEM;
  memset(p, 0, sizeof(*p));
  jobs_init(&p->queue, queue);
  if (threads > MOST) threads = MOST;
  for (; p->n < threads; p->n++) {
    if (!pthread_create(&p->threads[p->n], NULL, work_on, p)) continue;
    keys_pool_free(p);
    return CAW_ELIMIT;
  }
  *out = p;
  return 0;
}

int keys_pool_put(keys_pool *p, keys_job *job) {
  return jobs_put(&p->queue, &job->link);
}

void keys_pool_free(keys_pool *p) {
  if (!p) return;
  jobs_end(&p->queue);
  for (size_t i = 0; i < p->n; i++) pthread_join(p->threads[i], NULL);
  jobs_finish(&p->queue);
  caw_free(p);
}
