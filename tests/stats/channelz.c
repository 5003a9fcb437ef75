/* The entries of channelz: what a reader sees of them while their owner counts, and their texts. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "stats/channelz.h"

#include <pthread.h>

#define READINGS 300000

static caw_channelz *new_channelz(void) {
  caw_channelz *z;
  assert_int_equal(caw_channelz_new(&z), 0);
  return z;
}

/* ---- While somebody counts ---- */

typedef struct work {
  z_entry *entry;
  atomic_bool enough;
} work;

static void *count(void *arg) {
  work *w = arg;
  for (unsigned i = 0; !atomic_load_explicit(&w->enough, memory_order_relaxed); i++) {
    channelz_call_began(channelz_calls(w->entry, i % 2), 1);
    channelz_stream_began(w->entry, 1);
    channelz_call_ended(channelz_calls(w->entry, i % 2), (int)(i & 4));
    channelz_stream_ended(w->entry, i & 8);
  }
  return NULL;
}

typedef struct sums {
  caw_channelz_info last;
  unsigned early; /* more had ended than had begun */
  unsigned fell;
} sums;

static void look(const caw_channelz_info *info, void *user) {
  sums *s = user;
  s->early += info->calls_succeeded + info->calls_failed > info->calls_started;
  s->early += info->streams_succeeded + info->streams_failed > info->streams_started;
  s->fell += info->calls_started < s->last.calls_started;
  s->fell += info->streams_started < s->last.streams_started;
  s->last = *info;
}

/* Who asks how many run takes one number from the other. */
static void what_has_ended_had_begun(void **state) {
  caw_channelz *z = new_channelz();
  const z_birth birth = {.kind = CAW_CHANNELZ_SERVER, .n_calls = 2};
  work w = {.entry = channelz_open(z, &birth)};
  pthread_t thread;
  sums s = {0};
  (void)state;
  assert_non_null(w.entry);
  assert_int_equal(pthread_create(&thread, NULL, count, &w), 0);
  for (int i = 0; i < READINGS; i++)
    caw_channelz_read(z, CAW_CHANNELZ_SERVER, 0, 0, 0, look, &s, NULL);
  atomic_store(&w.enough, true);
  pthread_join(thread, NULL);
  assert_int_equal(s.early, 0);
  assert_int_equal(s.fell, 0);
  channelz_close(w.entry);
  caw_channelz_unref(z);
}

/* ---- Texts ---- */

static void assert_name(const caw_channelz_info *info, void *user) {
  if (!caw_str_is(info->name, user))
    fail_msg("\"%.*s\" is not \"%s\"", CAW_STR_ARG(info->name), (const char *)user);
  assert_true(caw_str_eq(info->name, info->local));
  assert_true(caw_str_eq(info->name, info->remote));
}

/* The service's messages are of UTF-8, or cannot be sent at all. */
static void texts_are_utf8(void **state) {
  static char cases[][2][32] = {{"unix:/a\xc3\xa9\xf0\x9f\x90\xa6",
                                 "unix:/a\xc3\xa9\xf0\x9f\x90\xa6"},
                                {"unix:/a\xff\xfe", "unix:/a??"},
                                {"unix:/a\xc3", "unix:/a?"},
                                {"unix:/\xe0\x80\x80\xf4\x90\x80\x80", "unix:/???????"},
                                {"unix:/a\nb\x1b\x7f", "unix:/a?b??"}};
  caw_channelz *z = new_channelz();
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    const char *text = cases[i][0];
    const z_birth birth = {
        .kind = CAW_CHANNELZ_SOCKET, .name = text, .local = text, .remote = text};
    z_entry *e = channelz_open(z, &birth);
    assert_non_null(e);
    assert_true(caw_channelz_find(z, CAW_CHANNELZ_SOCKET, e->id, assert_name, cases[i][1]));
    channelz_close(e);
  }
  caw_channelz_unref(z);
}

/* ---- Pages ---- */

static void take_id(const caw_channelz_info *info, void *user) {
  *(int64_t *)user = info->id;
}

/* A start behind all, and the largest there is, is an empty last page. */
static void pages_end(void **state) {
  caw_channelz *z = new_channelz();
  const z_birth birth = {.kind = CAW_CHANNELZ_SERVER, .n_calls = 1};
  z_entry *e[3];
  bool end = false;
  int64_t last = 0;
  (void)state;
  for (int i = 0; i < 3; i++) e[i] = channelz_open(z, &birth);
  caw_channelz_read(z, CAW_CHANNELZ_SERVER, 0, INT64_MAX, 0, take_id, &last, &end);
  assert_true(end);
  assert_int_equal(last, 0);
  caw_channelz_read(z, CAW_CHANNELZ_SERVER, 0, 0, 2, take_id, &last, &end);
  assert_false(end);
  assert_int_equal(last, e[1]->id);
  channelz_close(e[1]); /* where the next page would begin, and what is behind it */
  channelz_close(e[2]);
  last = 0;
  caw_channelz_read(z, CAW_CHANNELZ_SERVER, 0, 3, 2, take_id, &last, &end);
  assert_true(end);
  assert_int_equal(last, 0);
  channelz_close(e[0]);
  caw_channelz_unref(z);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_has_ended_had_begun),
                                     cmocka_unit_test(texts_are_utf8), cmocka_unit_test(pages_end)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
