/* The fixture of world.h. */
#include "world.h"

#include "client/client.h"
#include "heap.h"
#ifdef FAILS_TLS
#include "certs.h"
#endif

#include <caw/blocking.h>
#include <caw/channelz.h>
#include <caw/details.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- What must hold ---- */

static char name[256];

void run_name(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(name, sizeof(name), format, args);
  va_end(args);
}

void run_fail(const char *file, int line, const char *format, ...) {
  va_list args;
  fprintf(stderr, "%s:%d: ", file, line);
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, "\n... in %s\n", name);
  fflush(NULL);
  abort();
}

static void bark(int signum) {
  (void)signum;
  struct iovec parts[] = {{(char *)(uintptr_t) "nothing more happens in ", 24},
                          {name, strlen(name)},
                          {(char *)(uintptr_t) "\n", 1}};
  if (writev(2, parts, 3) < 0) _exit(3);
  abort();
}

void run_within(unsigned seconds) {
  static bool set;
  if (!set) signal(SIGALRM, bark);
  set = true;
  const struct itimerval t = {.it_value = {.tv_sec = seconds}};
  setitimer(ITIMER_REAL, &t, NULL);
}

uint64_t milliseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void set_flag(void *user) {
  *(int *)user = 1;
}

void (*world_pauses)(bool on);
void (*world_begins)(void);

void world_pause(bool on) {
  heap_pause(on);
  if (world_pauses) world_pauses(on);
}

/* ---- The service ---- */

#define METHOD(name, kind)                                                                         \
  { "/test.Fails/" name, kind, &caw_type_bytes, &caw_type_bytes }
const caw_method echo = METHOD("Echo", CAW_UNARY), down = METHOD("Down", CAW_SERVER_STREAM),
                 up = METHOD("Up", CAW_CLIENT_STREAM), both = METHOD("Both", CAW_BIDI),
                 waits = METHOD("Waits", CAW_UNARY), fails = METHOD("Fails", CAW_UNARY),
                 join = METHOD("Join", CAW_SERVER_STREAM), relay = METHOD("Relay", CAW_UNARY);

char big[1 << 20];
struct served served;

static int add_metadata(caw_call *call) {
  int rc = caw_call_add_header(call, caw_str_from("x-head"), caw_str_from("head"));
  if (!rc) rc = caw_call_add_header(call, caw_str_from("x-head-bin"), caw_str_of("\0\xff\1", 3));
  if (!rc) rc = caw_call_add_trailer(call, caw_str_from("x-tail"), caw_str_from("tail"));
  if (!rc) rc = caw_call_add_trailer(call, caw_str_from("x-tail-bin"), caw_str_of("\0\xff\2", 3));
  if (!rc && served.encoding) rc = caw_call_set_encoding(call, served.encoding);
  return rc;
}

static void forget_joined(const caw_call *call) {
  for (int i = 0; i < served.n_joined; i++)
    if (served.joined[i] == call) served.joined[i] = NULL;
}

static void send_more(caw_call *call, void *user) {
  (void)user;
  if (call != served.pending) {
    caw_call_resume(call);
    return;
  }
  caw_str text = caw_str_of(big, BIG);
  int rc = 0;
  while (served.left && !(rc = caw_call_send(call, &text))) served.left--;
  if (rc == CAW_EAGAIN) return; /* on_drain comes */
  served.pending = NULL;
  caw_call_finish(call, rc == CAW_ECLOSED ? 0 : rc, NULL);
}

static void give_up(caw_call *call, void *user) {
  (void)user;
  for (int i = 0; i < served.n_joined; i++) {
    if (served.joined[i] != call) continue;
    forget_joined(call);
    caw_call_finish(call, CAW_CANCELLED, NULL);
    return;
  }
  if (call != served.pending) return;
  served.pending = NULL;
  caw_call_finish(call, CAW_CANCELLED, NULL);
}

static void on_end(caw_call *call, const caw_status *status, void *user) {
  (void)status, (void)user;
  forget_joined(call);
  served.done++;
  served.idle = served.done == served.begun;
}

static void listen_to(caw_call *call) {
  static const caw_call_events events = {give_up, send_more, NULL, on_end};
  served.begun++;
  served.idle = 0;
  caw_call_on(call, &events, NULL);
}

#define HANDLER(name)                                                                              \
  static int name(caw_call *call, const void *request, void *reply, const void *impl, void *self)
#define UNUSED (void)call, (void)request, (void)reply, (void)impl, (void)self

HANDLER(on_echo) {
  UNUSED;
  int rc = served.encoding ? caw_call_set_encoding(call, served.encoding) : 0;
  *(caw_str *)reply = *(const caw_str *)request;
  return rc;
}

HANDLER(on_down) {
  UNUSED;
  listen_to(call);
  int rc = add_metadata(call);
  if (rc) return rc;
  served.left = MANY;
  served.pending = call;
  send_more(call, NULL);
  return CAW_PENDING;
}

static int on_open(caw_call *call, const void *impl, void *self) {
  (void)impl, (void)self;
  listen_to(call);
  served.came = 0;
  return add_metadata(call);
}

HANDLER(on_up) {
  UNUSED;
  served.came++;
  return 0;
}

static int on_up_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)impl, (void)self;
  caw_str text = caw_arena_printf(caw_call_arena(call), "%d", served.came);
  *(caw_str *)reply = text;
  return text.data ? 0 : CAW_ENOMEM;
}

HANDLER(on_both) {
  UNUSED;
  int rc = caw_call_send(call, request);
  if (caw_call_full(call)) caw_call_pause(call); /* until on_drain */
  return rc;
}

static int on_both_end(caw_call *call, void *reply, const void *impl, void *self) {
  (void)reply, (void)impl, (void)self;
  return caw_call_fail(call, CAW_OK, "%s", "fine");
}

HANDLER(on_waits) {
  UNUSED;
  listen_to(call);
  served.pending = call;
  served.left = 0;
  return CAW_PENDING;
}

HANDLER(on_fails) {
  UNUSED;
  caw_arena *arena = caw_call_arena(call);
  caw_details_status s = {.code = CAW_INVALID_ARGUMENT, .message = caw_str_from("of no use")};
  const caw_details_error_info info = {.reason = CAW_STR("TESTED"), .domain = CAW_STR("test")};
  int rc = arena ? caw_details_add(&s, arena, &caw_details_error_info_type, &info) : CAW_ENOMEM;
  return rc ? rc : caw_details_fail(call, &s);
}

HANDLER(on_join) {
  UNUSED;
  listen_to(call);
  served.joined[served.n_joined++ % 4] = call;
  int rc = caw_call_send_headers(call);
  if (rc) forget_joined(call);
  return rc ? rc : CAW_PENDING;
}

static void on_relayed(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call;
  caw_call *ours = user;
  if (ours != served.pending) return;
  served.pending = NULL;
  if (reply) caw_call_reply(ours, reply);
  else caw_call_finish(ours, status->code, NULL);
}

HANDLER(on_relay) {
  UNUSED;
  const caw_call_options o = {.size = sizeof(o), .parent = call};
  listen_to(call);
  served.pending = call;
  int rc =
      caw_call_start_unary(NULL, served.downstream, &echo, request, &o, on_relayed, NULL, call);
  if (rc) served.pending = NULL;
  return rc ? rc : CAW_PENDING;
}

static const caw_handler handlers[] = {
    {&echo, on_echo, NULL, NULL},     {&down, on_down, NULL, NULL},
    {&up, on_up, on_open, on_up_end}, {&both, on_both, on_open, on_both_end},
    {&waits, on_waits, NULL, NULL},   {&fails, on_fails, NULL, NULL},
    {&join, on_join, NULL, NULL},     {&relay, on_relay, NULL, NULL},
};

/* ---- Both ends ---- */

#ifdef FAILS_TLS
/* Made once: their making has scenarios of its own. */
static void make_credentials(world *w) {
  static caw_server_credentials *server[2];
  static caw_channel_credentials *channel[2];
  int m = w->how.mutual;
  if (!server[m]) {
    const certs *all = certs_good();
    const caw_tls_server_options so = {.size = sizeof(so),
                                       .cert = all->server.cert,
                                       .key = all->server.key,
                                       .client_ca = m ? all->ca.cert : (caw_pem){0},
                                       .client_auth =
                                           m ? CAW_TLS_CLIENT_REQUIRED : CAW_TLS_CLIENT_OFF};
    const caw_tls_client_options co = {.size = sizeof(co),
                                       .ca = all->ca.cert,
                                       .cert = m ? all->client.cert : (caw_pem){0},
                                       .key = m ? all->client.key : (caw_pem){0},
                                       .no_resumption = true};
    must_be(caw_tls_server_new(&server[m], &so, NULL, 0), 0);
    must_be(caw_tls_client_new(&channel[m], &co, NULL, 0), 0);
  }
  w->server_tls = server[m];
  if (!w->channel_tls) w->channel_tls = channel[m];
}
#endif

static caw_channel_options channel_options(const world *w) {
  return (caw_channel_options){.size = sizeof(caw_channel_options),
                               .loop = w->loop,
                               .backoff_initial_ms = 1,
                               .backoff_max_ms = 5,
                               .credentials = w->channel_tls,
                               .metrics = w->metrics,
                               .channelz = w->channelz};
}

static void listen_at(world *w) {
  char address[64] = "127.0.0.1:0";
  must_be(caw_server_listen(w->server, address), 0); /* the neighbour's */
  if (w->how.local) snprintf(address, sizeof(address), "unix-abstract:caw-fails-%d", (int)getpid());
  if (w->server_tls) must_be(caw_server_listen_tls(w->server, address, w->server_tls), 0);
  else if (w->how.local) must_be(caw_server_listen(w->server, address), 0);
  w->target = caw_server_address(w->server, w->server_tls || w->how.local);
}

void world_open(world *w, const setting *how) {
  memset(w, 0, sizeof(*w));
  memset(&served, 0, sizeof(served));
  served.idle = 1;
  w->how = *how;
  must_be(caw_loop_new(&w->loop), 0);
#ifdef FAILS_TLS
  if (how->tls || how->mutual) make_credentials(w);
#endif
  if (how->bare) {
    if (how->equip) how->equip(w);
    if (world_begins) world_begins();
    return;
  }
  if (how->watched) {
    must_be(caw_metrics_new(&w->metrics), 0);
    must_be(caw_channelz_new(&w->channelz), 0);
  }
  caw_server_options so = {.size = sizeof(so),
                           .loop = w->loop,
                           .encoding = how->replies,
                           .metrics = w->metrics,
                           .channelz = w->channelz};
  caw_channel_options co = channel_options(w);
  if (how->prepare) how->prepare(w, &so, &co);
  must_be(caw_server_new(&w->server, &so), 0);
  must_be(caw_server_add(w->server, handlers, sizeof(handlers) / sizeof(handlers[0]), NULL, w), 0);
  listen_at(w);
  must_be(caw_channel_new(&w->channel, w->target, &co, NULL), 0);
  co = (caw_channel_options){.size = sizeof(co), .loop = w->loop};
  must_be(caw_channel_new(&w->neighbour, caw_server_address(w->server, 0), &co, NULL), 0);
  if (how->equip) how->equip(w);
  if (!how->cold) {
    world_neighbour(w);
    w->next_door = w->neighbour->conn;
  }
  if (world_begins) world_begins();
  if (!how->warm) return;
  talk t = {0};
  must_be(talk_all(w, &t, &echo, NULL), 0);
}

void world_close(world *w) {
  caw_channel_free(w->channel);
  caw_channel_free(w->neighbour);
  caw_server_free(w->server);
  must_be(served.done, served.begun); /* each exactly once */
  caw_metrics_unref(w->metrics);
  caw_channelz_unref(w->channelz);
  caw_loop_free(w->loop);
}

int world_channel(world *w, caw_channel **out) {
  const caw_channel_options o = channel_options(w);
  return caw_channel_new(out, w->target, &o, NULL);
}

void world_turns(world *w, int n) {
  for (int i = 0; i < n; i++) caw_loop_run(w->loop, CAW_LOOP_NOWAIT);
}

void world_until(world *w, const int *flag) {
  for (int i = 1; !*flag; i++) {
    caw_loop_run(w->loop, CAW_LOOP_ONCE);
    if (i % 16 == 0 && w->neighbour && !w->how.cold) world_neighbour(w);
  }
}

static void on_neighbour(caw_call *call, const caw_status *status, const void *reply, void *user) {
  (void)call, (void)reply;
  *(int *)user = status->code + 1;
}

void world_neighbour(world *w) {
  int done = 0;
  caw_str text = CAW_STR("Is anybody at home?");
  world_pause(true);
  must_be(caw_call_start_unary(NULL, w->neighbour, &echo, &text, NULL, on_neighbour, NULL, &done),
          0);
  while (!done) caw_loop_run(w->loop, CAW_LOOP_ONCE);
  must_be(done - 1, CAW_OK);
  if (w->next_door) must(w->next_door == w->neighbour->conn);
  w->neighbour_calls++;
  world_pause(false);
}

/* ---- A call of the victim's ---- */

static bool has(const caw_metadata *m, const char *key, const char *value, size_t len) {
  return caw_str_eq(caw_metadata_get(m, key), caw_str_of(value, len));
}

static void on_metadata(caw_call *call, const caw_metadata *metadata, void *user) {
  talk *t = user;
  (void)call;
  must_be(t->done, 0);
  t->metadata = has(metadata, "x-head", "head", 4) && has(metadata, "x-head-bin", "\0\xff\1", 3);
}

static void send_requests(caw_call *call, talk *t) {
  caw_str text = caw_str_of(big, t->size ? t->size : BIG);
  int rc = 0;
  while (t->to_send && !(rc = caw_call_send(call, &text))) t->to_send--;
  if (rc == CAW_EAGAIN || rc == CAW_ECLOSED) return; /* on_drain or on_done comes */
  if (!rc) rc = caw_call_close_send(call);
  if (!rc || rc == CAW_ECLOSED || rc == CAW_ESTATE) return; /* sent already, and on_drain again */
  must_be(rc, CAW_ENOMEM);
  caw_call_cancel(call);
}

static void on_drain(caw_call *call, void *user) {
  send_requests(call, user);
}

static void on_reply(caw_call *call, const void *message, void *user) {
  talk *t = user;
  must_be(t->done, 0);
  t->replies++;
  t->bytes += ((const caw_str *)message)->len;
  if (t->cancel) caw_call_cancel(call);
}

static void on_done(caw_call *call, const caw_status *status, void *user) {
  talk *t = user;
  const caw_metadata *m = caw_call_trailers(call);
  t->done++;
  must_be(t->done, 1);
  t->code = status->code;
  t->trailers = has(m, "x-tail", "tail", 4) && has(m, "x-tail-bin", "\0\xff\2", 3);
  t->details = status->details.len > 20;
}

int talk_begin(world *w, talk *t, const caw_method *method, caw_channel *channel,
               const caw_call_options *options) {
  static const caw_client_events events = {on_metadata, on_reply, on_drain, on_done, NULL};
  static const caw_metadata_entry entries[] = {
      {CAW_STR("x-request"), CAW_STR("request")},
      {CAW_STR("x-request-bin"), CAW_STR("\0\1\2\3")},
      {CAW_STR("authorization"), CAW_STR("secret")},
  };
  caw_call_options o = {.size = sizeof(o)};
  if (options) o = *options;
  if (!o.metadata) {
    o.metadata = entries;
    o.metadata_len = 3;
  }
  caw_str text = caw_str_of(big, t->size ? t->size : 8);
  bool one = method->kind == CAW_UNARY || method->kind == CAW_SERVER_STREAM;
  t->call = NULL;
  int rc = one ? caw_call_start_with(&t->call, channel, method, &text, &o, &events, t)
               : caw_call_start(&t->call, channel, method, &o, &events, t);
  if (!rc && !one) send_requests(t->call, t);
  if (rc) {
    world_turns(w, 5);
    must_be(t->done, 0); /* an error returned is not told again */
  }
  return rc;
}

int talk_end(world *w, talk *t) {
  world_until(w, &t->done);
  world_until(w, &served.idle);
  return t->code;
}

int talk_all(world *w, talk *t, const caw_method *method, const caw_call_options *options) {
  int rc = talk_begin(w, t, method, w->channel, options);
  return rc ? rc : talk_end(w, t);
}
