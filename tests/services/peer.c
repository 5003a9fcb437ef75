/* A server with health and reflection for the tests in Python and JavaScript. Its commands, a
 * line each on standard input: "set SERVICE STATUS", "shutdown", "resume", "drain MS"; with the
 * argument "channelz" it has that service, too, and "call N" has it call itself. */
#include <caw/channelz.h>
#include <caw/health.h>
#include <caw/reflection.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <thing/thing.caw.h>

#include <pthread.h>

static int get(caw_call *call, const thing_request *request, thing_base_extendable *reply,
               void *self) {
  (void)call;
  (void)request;
  (void)self;
  reply->has_id = true;
  reply->id = 7;
  return 0;
}

typedef struct peer {
  caw_server *server;
  caw_health *health;
  caw_channelz *channelz;
  caw_channel *channel; /* to itself */
} peer;

static void call_itself(peer *p, int n) {
  thing_base_extendable reply;
  const thing_request request = {0};
  const caw_channel_options o = {.size = sizeof(o), .channelz = p->channelz};
  const char *address = caw_server_address(p->server, 0);
  if (!p->channel && caw_channel_new(&p->channel, address, &o, NULL)) return;
  caw_arena *arena = caw_arena_new(0);
  for (int i = 0; i < n; i++) {
    memset(&reply, 0, sizeof(reply));
    int rc = thing_things_get(p->channel, &request, &reply, arena, NULL, NULL);
    if (rc) fprintf(stderr, "%s\n", caw_strerror(rc));
  }
  caw_arena_free(arena);
}

static void command(peer *p, char *line) {
  char name[128];
  int n;
  if (sscanf(line, "set %127s %d", name, &n) == 2)
    caw_health_set(p->health, strcmp(name, "-") ? name : "", (caw_health_status)n);
  else if (sscanf(line, "call %d", &n) == 1) call_itself(p, n);
  else if (!strncmp(line, "shutdown", 8)) caw_health_shutdown(p->health);
  else if (!strncmp(line, "resume", 6)) caw_health_resume(p->health);
  else if (sscanf(line, "drain %d", &n) == 1) caw_server_drain(p->server, (uint64_t)n, NULL, NULL);
  printf("did %s", line);
  fflush(stdout);
}

static void *read_commands(void *arg) {
  char line[256];
  while (fgets(line, sizeof(line), stdin)) command(arg, line);
  caw_server_drain(((peer *)arg)->server, 1000, NULL, NULL);
  return NULL;
}

static void on_signal(int signum, void *user) {
  (void)signum;
  caw_server_drain(user, 1000, NULL, NULL);
}

static void check(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "%s: %s\n", what, caw_strerror(rc));
  exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
  static const thing_things_service things = {.get = get};
  static const thing_unused_service unused = {0};
  peer p = {0};
  pthread_t reader;
  caw_server_options o = {.size = sizeof(o), .loops = 2};
  bool channelz = argc > 1 && !strcmp(argv[1], "channelz");
  if (channelz) check(caw_channelz_new(&p.channelz), "channelz");
  o.channelz = p.channelz;
  check(caw_server_new(&p.server, &o), "server");
  check(caw_health_new(&p.health), "health");
  check(caw_health_add(p.server, p.health), "health");
  check(caw_reflection_add(p.server), "reflection");
  if (channelz) check(caw_channelz_add(p.server, p.channelz), "channelz");
  check(thing_things_add(p.server, &things, NULL), "Things");
  check(thing_unused_add(p.server, &unused, NULL), "Unused");
  check(caw_server_listen(p.server, "127.0.0.1:0"), "listen");
  check(caw_loop_on_signal(caw_server_loop(p.server), 15, on_signal, p.server), "SIGTERM");
  printf("listening on %s\n", caw_server_address(p.server, 0));
  fflush(stdout);
  check(pthread_create(&reader, NULL, read_commands, &p), "thread");
  pthread_detach(reader);
  int rc = caw_server_run(p.server);
  if (rc) fprintf(stderr, "%s\n", caw_strerror(rc));
  /* The reader may be in the server: the end of the process frees both. */
  fflush(stdout);
  _Exit(rc ? EXIT_FAILURE : EXIT_SUCCESS);
}
