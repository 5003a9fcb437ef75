/* The stage of stage.h. */
#include "stage.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static pthread_t thread;

static void *run(void *server) {
  stage_check(caw_server_run(server), "caw_server_run");
  return NULL;
}

void stage_check(int rc, const char *what) {
  if (!rc) return;
  fprintf(stderr, "%s: %s\n", what, caw_strerror(rc));
  exit(1);
}

const char *stage_serve(caw_server *server) {
  if (!caw_server_address(server, 0) && caw_server_listen(server, "127.0.0.1:0")) {
    fprintf(stderr, "%s\n", caw_server_error(server));
    exit(1);
  }
  if (pthread_create(&thread, NULL, run, server)) exit(1);
  return caw_server_address(server, 0);
}

void stage_end(caw_server *server) {
  caw_server_drain(server, 1000, NULL, NULL);
  pthread_join(thread, NULL);
  caw_server_free(server);
}
