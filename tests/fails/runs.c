/* The functions of runs.h. */
#include "runs.h"

#include <stdio.h>
#include <string.h>

void endings_count(endings *e, int rc) {
  const char *name = rc < 0 ? caw_strerror(rc) : rc ? caw_code_name(rc) : "as ever";
  int i = 0;
  while (i < e->n && strcmp(e->names[i], name) != 0) i++;
  if (i == 24) return;
  if (i == e->n) e->names[e->n++] = name;
  e->counts[i]++;
}

void endings_print(const endings *e) {
  for (int i = 0; i < e->n; i++) printf("%s %s %ld", i ? "," : ":", e->names[i], e->counts[i]);
  printf("\n");
  fflush(stdout);
}

#define BIT(status) (UINT32_C(1) << (status))

bool status_is_usual(int code, uint32_t also) {
  static const uint32_t usual = BIT(CAW_OK) | BIT(CAW_RESOURCE_EXHAUSTED) | BIT(CAW_INTERNAL) |
                                BIT(CAW_UNAVAILABLE) | BIT(CAW_CANCELLED);
  return (usual | also) >> code & 1;
}

void fresh_call(world *w) {
  caw_channel *old = w->channel;
  int code;
  must_be(world_channel(w, &w->channel), 0);
  do {
    talk t = {0};
    code = talk_all(w, &t, &echo, NULL);
  } while (w->how.restless && code == CAW_UNAVAILABLE);
  must_be(code, CAW_OK);
  caw_channel_free(w->channel);
  w->channel = old;
}
