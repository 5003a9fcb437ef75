/* The end of a server: SIGTERM, a drain, calls that finish, a hook. */
#include <caw/channel.h>
#include <caw/server.h>
#include <caw/systemd.h>
#include <greeter.caw.h>
#include <signal.h>
#include <stdio.h>

typedef struct work {
  caw_server *server;
  caw_channel *channel;
  caw_call *pending;
} work;

/* The call waits on the server when the signal comes: it is finished, not lost. */
static int say_hello(caw_call *call, const greeter_hello_request *request,
                     greeter_hello_reply *reply, void *self) {
  work *w = self;
  (void)request;
  (void)reply;
  w->pending = call;
  raise(SIGTERM);
  return CAW_PENDING;
}

static void on_drain(void *user) {
  work *w = user;
  printf("server: draining; new clients go elsewhere\n");
  greeter_hello_reply reply = {.message = CAW_STR("just in time")};
  caw_call_reply(w->pending, &reply);
}

static void done(caw_call *call, const caw_status *status, const greeter_hello_reply *reply,
                 void *user) {
  work *w = user;
  (void)call;
  if (reply) printf("client: %.*s\n", CAW_STR_ARG(reply->message));
  else printf("client: %s\n", caw_code_name(status->code));
  caw_channel_free(w->channel);
}

static int fail(int rc, const char *what) {
  fprintf(stderr, "%s: %s\n", what, caw_strerror(rc));
  return 1;
}

int main(void) {
  static const greeter_greeter_service service = {.say_hello = say_hello};
  work w = {0};
  int rc = caw_server_new(&w.server, NULL);
  if (!rc) rc = greeter_greeter_add(w.server, &service, &w);
  if (!rc) rc = caw_server_listen(w.server, "127.0.0.1:0");
  if (!rc) rc = caw_server_on_drain(w.server, on_drain, &w);
  /* Five seconds for the calls that are open; a second signal ends the process. */
  if (!rc) rc = caw_server_drain_on_signal(w.server, SIGTERM, 5000);
  /* systemd hears READY=1 and STOPPING=1; without systemd nothing happens. */
  if (!rc) rc = caw_server_notify_systemd(w.server);
  if (rc) return fail(rc, "the server");

  /* A client on the server's own loop, so that one thread is enough here. */
  const caw_channel_options options = {.size = sizeof(options), .loop = caw_server_loop(w.server)};
  const greeter_hello_request request = {0};
  rc = caw_channel_new(&w.channel, caw_server_address(w.server, 0), &options, NULL);
  if (!rc) rc = greeter_greeter_say_hello_async(NULL, w.channel, &request, NULL, done, &w);
  if (rc) return fail(rc, "the client");

  rc = caw_server_run(w.server);
  caw_server_free(w.server);
  printf("server: %s\n", rc ? caw_strerror(rc) : "all calls finished");
  return rc != 0;
}
