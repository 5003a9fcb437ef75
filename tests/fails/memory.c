/*
 * Memory runs out at every allocation of some seventy scenarios, one after the other, in two
 * ways: once, and from then on. Each run comes to an end, tells what failed by a value or by a
 * call's status, leaks nothing and hurts nobody else: a second connection of the same server is
 * served meanwhile, and when there is memory again a new client finds nothing amiss.
 *
 *   test-fails-memory [--points N] [--least N] [--at N] [SCENARIO]
 *
 * N bounds the points of each scenario and way (0: all of them): then they are spread over all
 * there are, and the seed (FAILS_SEED) says where. --least: with fewer points in all it fails.
 * --at is one point alone.
 */
#include "heap.h"
#include "runs.h"

#include "client/client.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_ending(const scenario *s, int rc) {
  if (rc >= 0 ? !status_is_usual(rc, s->also) : rc != CAW_ENOMEM && !s->vague)
    run_fail(__FILE__, __LINE__, "it ended with %s", rc < 0 ? caw_strerror(rc) : caw_code_name(rc));
}

/* One run; returns whether memory ran out in it. */
static bool run_once(const scenario *s, heap_mode mode, long n, endings *e, long *counted) {
  static const char *const ways[] = {"nothing fails", "fails once", "and all after it fail"};
  world w;
  uint64_t begin = milliseconds();
  run_name("%s: allocation %ld %s", s->name, n, ways[mode]);
  run_within(20);
  long live = heap_live(HEAP_CAW);
  world_open(&w, &s->how);
  heap_arm(mode, n, HEAP_CAW | s->sources);
  int rc = s->run(&w);
  bool failed = heap_failed();
  if (!failed) must_be(rc, 0);
  if (failed && s->told) must(rc != 0);
  check_ending(s, rc);
  endings_count(e, rc);
  *counted = heap_disarm();
  if (!s->how.bare && !s->spent) {
    world_neighbour(&w);
    fresh_call(&w);
  }
  if (s->close && (s->how.bare || s->first)) s->close(&w);
  world_close(&w);
  if (s->close && !s->how.bare && !s->first) s->close(&w);
  if (mode != HEAP_COUNT) must_be(heap_live(HEAP_CAW), live); /* else credentials are made */
  run_within(0);
  uint64_t took = milliseconds() - begin;
  if (took > 1000)
    printf("slow, %llu ms: %s allocation %ld %s\n", (unsigned long long)took, s->name, n,
           ways[mode]);
  return failed;
}

static uint64_t chance(void) {
  static uint64_t state;
  if (!state) {
    const char *seed = getenv("FAILS_SEED");
    state = seed ? strtoull(seed, NULL, 10) * 2 + 1 : 1;
  }
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return state >> 33;
}

/* The points of one way: all, or `most` that are spread over `all`. How many allocations there
 * are depends on time in some scenarios, so those that are counted are tried in any case. */
static long run_way(const scenario *s, heap_mode mode, long all, long most, endings *e) {
  long points = 0, counted;
  if (!most || all <= most) {
    bool failed = true;
    for (long n = 1; failed || n <= all; n++) points += failed = run_once(s, mode, n, e, &counted);
    return points;
  }
  for (long i = 0; i < most; i++) {
    long first = i * all / most, width = (i + 1) * all / most - first;
    points += run_once(s, mode, first + 1 + (long)(chance() % (uint64_t)width), e, &counted);
  }
  return points;
}

/* What OpenSSL and the others keep for themselves is there after the first runs; more of it
 * with each failure would be a leak. */
static long others_live(void) {
  return heap_live(HEAP_TLS) + heap_live(HEAP_DNS) + heap_live(HEAP_LOOP);
}

static long run_scenario(const scenario *s, long most) {
  if (most && s->slow) most = (most + s->slow - 1) / s->slow;
  endings e = {.n = 0};
  long all = 0, points[2];
  uint64_t begin = milliseconds();
  for (int i = 0; i < 2; i++) run_once(s, HEAP_COUNT, 0, &e, &all);
  memset(&e, 0, sizeof(e));
  long live = others_live();
  for (int m = 0; m < 2; m++) points[m] = run_way(s, m ? HEAP_FROM : HEAP_ONCE, all, most, &e);
  printf("%-30s %5ld allocations, %5ld points once, %5ld from then on, %5llu ms, left %ld", s->name,
         all, points[0], points[1], (unsigned long long)(milliseconds() - begin),
         others_live() - live);
  endings_print(&e);
  /* A piece or two for each thing that is made once, and late; no more with more points. */
  if (others_live() - live > 50)
    run_fail(__FILE__, __LINE__, "%ld pieces are left", others_live() - live);
  return points[0] + points[1];
}

/* For a debugger. */
static long run_point(const scenario *s, long n) {
  endings e = {.n = 0};
  long counted, failed = 0;
  run_once(s, HEAP_COUNT, 0, &e, &counted);
  for (int m = HEAP_ONCE; m <= HEAP_FROM; m++) failed += run_once(s, (heap_mode)m, n, &e, &counted);
  endings_print(&e);
  return failed;
}

int main(int argc, char **argv) {
  const scenario *const tables[] = {call_scenarios, connection_scenarios, other_scenarios};
  const char *only = NULL;
  long most = 0, points = 0, at = 0, least = 1;
  int n = 0;
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], "--points") && i + 1 < argc) most = atol(argv[++i]);
    else if (!strcmp(argv[i], "--least") && i + 1 < argc) least = atol(argv[++i]);
    else if (!strcmp(argv[i], "--at") && i + 1 < argc) at = atol(argv[++i]);
    else only = argv[i];
  }
  signal(SIGPIPE, SIG_IGN); /* OpenSSL's and c-ares's are no concern of this test */
  heap_install();
  memset(big, 'x', sizeof(big));
  for (int t = 0; t < 3; t++)
    for (const scenario *s = tables[t]; s->name; s++) {
      if (only && strcmp(only, s->name) != 0) continue;
      points += at ? run_point(s, at) : run_scenario(s, most);
      n++;
    }
  printf("%d scenarios, %ld points\n", n, points);
  if (points < least) fprintf(stderr, "fewer than %ld points\n", least);
  return points < least ? 2 : 0;
}
