/* What the service manager is told of a server: caw/systemd.h. */
#include "io/notify.h"
#include "server/server.h"

#include <caw/systemd.h>
#include <stdio.h>

int caw_systemd_notify(const char *state) {
  return state ? io_notify(state) : CAW_EINVAL;
}

void systemd_begin(const caw_server *s) {
  if (s->notify) io_notify("READY=1");
}

/* A server that was replaced does not stop the service: another process is its main
 * process from now on. */
static void tell_end(void *user) {
  const caw_server *s = user;
  pid_t heir = handover_heir(s);
  char state[64] = "STOPPING=1";
  if (heir) snprintf(state, sizeof(state), "MAINPID=%ld\nREADY=1", (long)heir);
  io_notify(state);
}

int caw_server_notify_systemd(caw_server *s) {
  if (s->notify) return 0;
  int rc = caw_server_on_drain(s, tell_end, s);
  if (rc) return rc;
  s->notify = true;
  server_begin_later(s);
  return 0;
}
