/* Passwords, tokens and codes. */
#include "keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <caw/status.h>
#include <pthread.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

typedef struct job {
  keys_job base;
  bool done;
} job;

static void done(keys_job *base) {
  pthread_mutex_lock(&lock);
  ((job *)base)->done = true;
  pthread_cond_broadcast(&change);
  pthread_mutex_unlock(&lock);
}

static job of(const char *password, const char *secret) {
  job j = {.base = {.password = caw_str_from(password), .done = done}};
  strcpy(j.base.secret, secret);
  return j;
}

static void await(job *j) {
  pthread_mutex_lock(&lock);
  while (!j->done) pthread_cond_wait(&change, &lock);
  pthread_mutex_unlock(&lock);
}

static bool fits(keys_pool *p, const char *password, const char *secret) {
  job j = of(password, secret);
  assert_int_equal(keys_pool_put(p, &j.base), 0);
  await(&j);
  return j.base.right;
}

static void test_passwords(void **state) {
  (void)state;
  keys_pool *p;
  assert_int_equal(keys_pool_new(&p, 2, 8), 0);
  job a = of("correct horse", ""), b = of("correct horse", "");
  assert_int_equal(keys_pool_put(p, &a.base), 0);
  assert_int_equal(keys_pool_put(p, &b.base), 0);
  await(&a);
  await(&b);
  assert_true(a.base.right && b.base.right);
  assert_memory_equal(a.base.secret, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
  assert_string_not_equal(a.base.secret, b.base.secret); /* each has its salt */
  assert_true(fits(p, "correct horse", a.base.secret));
  assert_false(fits(p, "correct horsf", a.base.secret));
  assert_false(fits(p, "", a.base.secret));
  assert_false(fits(p, "correct horse", keys_nobody()));
  assert_false(fits(p, "correct horse", "no secret at all"));
  keys_pool_free(p);
}

static void test_the_queue_is_bounded(void **state) {
  (void)state;
  keys_pool *p;
  job jobs[30];
  int taken = 0, refused = 0;
  assert_int_equal(keys_pool_new(&p, 1, 3), 0);
  for (int i = 0; i < 30; i++) {
    jobs[i] = of("password", keys_nobody());
    int rc = keys_pool_put(p, &jobs[i].base);
    taken += !rc;
    refused += rc == CAW_EAGAIN;
  }
  assert_int_equal(taken + refused, 30);
  assert_true(taken >= 3);
  assert_true(refused > 0);
  keys_pool_free(p); /* does what was taken */
  int did = 0;
  for (int i = 0; i < 30; i++) did += jobs[i].done;
  assert_int_equal(did, taken);
}

static void test_tokens(void **state) {
  (void)state;
  char a[KEYS_TOKEN], b[KEYS_TOKEN];
  uint8_t hash[2][32], again[32];
  keys_token(a, hash[0]);
  keys_token(b, hash[1]);
  assert_int_equal(strlen(a), 43);
  assert_string_not_equal(a, b);
  keys_hash(again, caw_str_from(a));
  assert_memory_equal(again, hash[0], 32);
  assert_memory_not_equal(hash[0], hash[1], 32);
}

static void test_codes(void **state) {
  (void)state;
  char code[KEYS_CODE], other[60];
  uint8_t hash[32], again[32];
  keys_code(code, hash);
  assert_int_equal(strlen(code), 19);
  size_t len = 0;
  for (size_t i = 0; code[i]; i++) {
    if (code[i] == '-') continue;
    other[len++] = ' ';
    other[len++] = code[i] >= 'a' ? (char)(code[i] - 'a' + 'A') : code[i];
  }
  keys_hash_code(again, caw_str_of(other, len));
  assert_memory_equal(again, hash, 32);
  other[len++] = '0';
  keys_hash_code(again, caw_str_of(other, len));
  assert_memory_not_equal(again, hash, 32);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_passwords),
      cmocka_unit_test(test_the_queue_is_bounded),
      cmocka_unit_test(test_tokens),
      cmocka_unit_test(test_codes),
  };
  if (keys_init()) return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
