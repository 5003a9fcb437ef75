/* The hand-over of succession.h. */
#include "succession.h"

#include <caw/blocking.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct party {
  caw_server *server;
  pthread_t thread;
  bool running;
} party;

static struct {
  party old, heir;
  caw_channel *neighbour;
  char path[64], address[64];
} all;

static int answer(caw_call *call, const void *request, void *reply, const void *impl, void *self) {
  (void)call, (void)impl, (void)self;
  *(caw_str *)reply = *(const caw_str *)request;
  return 0;
}

static const caw_handler handler = {&echo, answer, NULL, NULL};

static void *run(void *server) {
  caw_server_run(server);
  return NULL;
}

static void start(party *p) {
  world_pause(true);
  must_be(pthread_create(&p->thread, NULL, run, p->server), 0); /* the test's own */
  p->running = true;
  world_pause(false);
}

static void end(party *p) {
  if (p->running) {
    caw_server_drain(p->server, 0, NULL, NULL);
    pthread_join(p->thread, NULL);
  }
  caw_server_free(p->server);
}

/* Whoever serves: the channel finds it. */
static void ask(void) {
  caw_str request = CAW_STR("a question"), reply = {NULL, 0};
  const caw_call_options o = {.size = sizeof(o), .timeout_ms = 10000, .wait_for_ready = true};
  world_pause(true);
  caw_arena *arena = caw_arena_new(0);
  must_be(caw_call_unary(all.neighbour, &echo, &request, &reply, arena, &o, NULL), 0);
  must(caw_str_eq(request, reply));
  caw_arena_free(arena);
  world_pause(false);
}

void succession_open(world *w) {
  bool took = true;
  (void)w;
  memset(&all, 0, sizeof(all));
  snprintf(all.path, sizeof(all.path), "/tmp/caw-fails-%d", (int)getpid());
  must_be(caw_server_new(&all.old.server, NULL), 0);
  must_be(caw_server_add(all.old.server, &handler, 1, NULL, NULL), 0);
  must_be(caw_server_handover(all.old.server, all.path, 1000, &took), 0);
  must(!took);
  must_be(caw_server_listen(all.old.server, "127.0.0.1:0"), 0);
  snprintf(all.address, sizeof(all.address), "%s", caw_server_address(all.old.server, 0));
  start(&all.old);
  const caw_channel_options o = {.size = sizeof(o), .backoff_initial_ms = 1};
  must_be(caw_channel_new(&all.neighbour, all.address, &o, NULL), 0);
  ask();
}

int succession_run(world *w) {
  bool took = false;
  (void)w;
  int rc = caw_server_new(&all.heir.server, NULL);
  if (!rc) rc = caw_server_add(all.heir.server, &handler, 1, NULL, NULL);
  if (!rc) rc = caw_server_handover(all.heir.server, all.path, 1000, &took);
  if (!rc) rc = caw_server_listen(all.heir.server, all.address);
  if (!rc) start(&all.heir);
  ask();
  return rc;
}

void succession_close(world *w) {
  (void)w;
  ask();
  end(&all.heir);
  caw_channel_free(all.neighbour);
  end(&all.old);
  unlink(all.path);
}
