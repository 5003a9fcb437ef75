/* caw_channel: options, state, watches, and the thread it may have. */
#include "client/client.h"

#include "base/trace.h"

#include <caw/alloc.h>
#include <caw/version.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- State ---- */

typedef struct watch {
  list node;
  caw_channel *channel;
  io_timer timer;
  bool timed;
  io_task task;
  caw_connectivity last;
  void (*fn)(caw_channel *channel, caw_connectivity now, void *user);
  void *user;
} watch;

static void finish_watch(watch *w) {
  caw_channel *ch = w->channel;
  list_remove(&w->node);
  io_loop_release(ch->loop);
  io_task_cancel(&w->task);
  if (w->timed) io_timer_finish(&w->timer);
  w->fn(ch, (caw_connectivity)atomic_load(&ch->state), w->user);
  caw_free(w);
}

static void run_watch(io_task *task) {
  finish_watch(LIST_ENTRY(task, watch, task));
}

static void expire_watch(io_timer *timer) {
  watch *w = LIST_ENTRY(timer, watch, timer);
  io_defer(w->channel->loop, &w->task);
}

void channel_set_state(caw_channel *ch, caw_connectivity state) {
  atomic_store(&ch->state, state);
  TRACE(CLIENT, "channel %p to %s is %s", (void *)ch, ch->authority, caw_connectivity_name(state));
  client_stats_state(ch, state);
  for (list *l = ch->watches.next; l != &ch->watches; l = l->next) {
    watch *w = LIST_ENTRY(l, watch, node);
    if (w->last != state) io_defer(ch->loop, &w->task);
  }
}

void channel_set_error(caw_channel *ch, const char *format, ...) {
  va_list args;
  va_start(args, format);
  pthread_mutex_lock(&ch->lock);
  vsnprintf(ch->error, sizeof(ch->error), format, args);
  TRACE(CLIENT, "channel %p: %s", (void *)ch, ch->error);
  pthread_mutex_unlock(&ch->lock);
  va_end(args);
}

size_t caw_channel_error(caw_channel *ch, char *out, size_t room) {
  pthread_mutex_lock(&ch->lock);
  size_t len = strlen(ch->error);
  if (room) snprintf(out, room, "%s", ch->error);
  pthread_mutex_unlock(&ch->lock);
  return len;
}

const char *caw_connectivity_name(caw_connectivity state) {
  static const char *const names[] = {"IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE",
                                      "SHUTDOWN"};
  return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "UNKNOWN_STATE";
}

/* The wish of another thread that the channel connects. It is apart from the
 * channel, which may be freed while the wish is on its way. */
typedef struct connect_wish {
  io_post post;
  atomic_bool posted;
  caw_channel *channel; /* NULL once freed; the loop's */
} connect_wish;

static void run_wish(io_post *post) {
  connect_wish *w = (connect_wish *)(void *)post;
  atomic_store(&w->posted, false);
  if (w->channel) connect_start(w->channel);
  else caw_free(w);
}

static void drop_wish(caw_channel *ch) {
  ch->wish->channel = NULL;
  if (!atomic_load(&ch->wish->posted)) caw_free(ch->wish);
}

caw_connectivity caw_channel_state(caw_channel *ch, bool connect) {
  caw_connectivity now = (caw_connectivity)atomic_load(&ch->state);
  if (!connect || now != CAW_CHANNEL_IDLE) return now;
  if (io_on_loop(ch->loop)) connect_start(ch);
  else if (!atomic_exchange(&ch->wish->posted, true))
    io_loop_post(ch->loop, &ch->wish->post, run_wish);
  return now;
}

int caw_channel_watch(caw_channel *ch, caw_connectivity last, uint64_t timeout_ms,
                      void (*fn)(caw_channel *channel, caw_connectivity now, void *user),
                      void *user) {
  io_assert_on_loop(ch->loop);
  if (ch->shut) return CAW_ECLOSED;
  watch *w = caw_calloc(1, sizeof(*w));
  if (!w) return CAW_ENOMEM;
  w->channel = ch;
  w->last = last;
  w->fn = fn;
  w->user = user;
  io_task_init(&w->task, run_watch);
  if (timeout_ms) {
    if (io_timer_init(&w->timer, ch->loop, expire_watch)) {
      caw_free(w);
      return CAW_ENOMEM;
    }
    w->timed = true;
    io_timer_start(&w->timer, io_after(ch->loop, timeout_ms));
  }
  list_push_back(&ch->watches, &w->node);
  io_loop_hold(ch->loop);
  if ((int)last != atomic_load(&ch->state)) io_defer(ch->loop, &w->task);
  return 0;
}

caw_loop *caw_channel_loop(const caw_channel *ch) {
  return ch->loop;
}

/* ---- Making ---- */

static int copy_text(char *to, size_t room, const char *from) {
  int n = snprintf(to, room, "%s", from);
  return n >= 0 && (size_t)n < room ? 0 : CAW_EINVAL;
}

static int read_options(caw_channel *ch, const char *target, const caw_channel_options *from,
                        const char **why) {
  caw_channel_options *to = &ch->options;
  if (from) {
    if (from->size < offsetof(caw_channel_options, loop)) return CAW_EINVAL;
    memcpy(to, from, from->size < sizeof(*to) ? from->size : sizeof(*to));
  }
  if (!caw_encoding_supported(to->encoding)) return CAW_EINVAL;
  if (to->limits && to->limits->size < sizeof(to->limits->size)) return CAW_EINVAL;
  if (!to->max_receive) to->max_receive = (size_t)4 * 1024 * 1024;
  if (!to->send_buffer) to->send_buffer = (size_t)64 * 1024;
  if (!to->connect_timeout_ms) to->connect_timeout_ms = 20000;
  if (!to->backoff_initial_ms) to->backoff_initial_ms = 1000;
  if (!to->backoff_max_ms) to->backoff_max_ms = 120000;
  const char *name = to->credentials ? io_tls_server_name(to->credentials) : NULL;
  const char *authority = to->authority ? to->authority : name ? name : ch->target.authority;
  const char *agent = to->user_agent ? to->user_agent : "";
  int n = snprintf(ch->user_agent, sizeof(ch->user_agent), "%s%sgrpc-c-caw/%s", agent,
                   *agent ? " " : "", CAW_VERSION);
  if (n < 0 || (size_t)n >= sizeof(ch->user_agent)) return CAW_EINVAL;
  int rc = copy_text(ch->authority, sizeof(ch->authority), authority);
  if (!rc && to->dns_server) rc = copy_text(ch->dns_server, sizeof(ch->dns_server), to->dns_server);
  to->authority = to->user_agent = to->dns_server = NULL;
  caw_metrics *metrics = to->metrics;
  to->metrics = NULL; /* a reference is in the channel's table */
  struct caw_channelz *channelz = to->channelz;
  to->channelz = NULL; /* in its entry */
  if (!rc && to->call_credentials)
    ch->call_credentials = caw_call_credentials_ref(to->call_credentials);
  to->call_credentials = NULL;
  if (!rc && to->credentials) {
    rc = io_tls_client_new(&ch->config.tls, to->credentials, ch->authority);
    if (rc == CAW_EINVAL) *why = "the authority is no host that a certificate can be for";
  }
  to->credentials = NULL; /* a reference is in config.tls */
  if (!rc && metrics)
    rc = client_stats_open(ch, metrics, to->metrics_target ? to->metrics_target : target,
                           !to->metrics_target);
  to->metrics_target = NULL;
  if (!rc && channelz) client_stats_show(ch, channelz, target);
  return rc;
}

/* The first thing that the loop does on its thread: from here on it is that
 * thread's, and the program's threads are others. */
static void mark_running(io_post *post) {
  caw_channel *ch = LIST_ENTRY(post, caw_channel, run_post);
  pthread_mutex_lock(&ch->lock);
  ch->running = true;
  pthread_cond_signal(&ch->started);
  pthread_mutex_unlock(&ch->lock);
}

static void *run_loop(void *arg) {
  caw_channel *ch = arg;
  caw_loop_run(ch->loop, CAW_LOOP_DEFAULT);
  return NULL;
}

static int start_thread(caw_channel *ch) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int err = pthread_create(&ch->thread, NULL, run_loop, ch);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (err) return CAW_ELIMIT;
  pthread_mutex_lock(&ch->lock);
  while (!ch->running) pthread_cond_wait(&ch->started, &ch->lock);
  pthread_mutex_unlock(&ch->lock);
  return 0;
}

static int set_up(caw_channel *ch) {
  int rc = 0;
  ch->own_loop = !ch->options.loop;
  if (ch->own_loop) rc = caw_loop_new(&ch->loop);
  else ch->loop = ch->options.loop;
  if (rc) return rc;
  rc = connect_init(ch);
  if (rc) goto no_connect;
  if (!ch->own_loop) return 0;
  io_loop_hold(ch->loop);
  io_loop_post(ch->loop, &ch->run_post, mark_running);
  rc = start_thread(ch);
  if (!rc) return 0;
  connect_finish(ch);
no_connect:
  if (ch->own_loop) caw_loop_free(ch->loop);
  return rc;
}

int caw_channel_new(caw_channel **out, const char *target, const caw_channel_options *options,
                    const char **why) {
  const char *reason = "";
  caw_channel *ch = caw_calloc(1, sizeof(*ch));
  if (!ch) return CAW_ENOMEM;
  atomic_init(&ch->state, CAW_CHANNEL_IDLE);
  list_init(&ch->calls);
  list_init(&ch->waiting);
  list_init(&ch->watches);
  pthread_mutex_init(&ch->lock, NULL);
  pthread_cond_init(&ch->started, NULL);
  ch->wish = caw_calloc(1, sizeof(*ch->wish));
  int rc = ch->wish ? 0 : CAW_ENOMEM;
  if (!rc) ch->wish->channel = ch;
  if (!rc) rc = io_target_parse(&ch->target, caw_str_from(target), false, &reason);
  if (!rc) rc = read_options(ch, target, options, &reason);
  if (!rc) rc = set_up(ch);
  if (rc) {
    if (why) *why = rc == CAW_EADDR || *reason ? reason : caw_strerror(rc);
    client_stats_close(ch);
    caw_call_credentials_unref(ch->call_credentials);
    pthread_cond_destroy(&ch->started);
    pthread_mutex_destroy(&ch->lock);
    io_tls_client_free(ch->config.tls);
    caw_free(ch->wish);
    caw_free(ch);
    return rc;
  }
  *out = ch;
  return 0;
}

/* ---- Freeing ---- */

static void shut(caw_channel *ch) {
  ch->shut = true;
  channel_set_state(ch, CAW_CHANNEL_SHUTDOWN);
  connect_close(ch);
  client_calls_end(ch);
  while (!list_empty(&ch->watches)) finish_watch(LIST_ENTRY(ch->watches.next, watch, node));
  connect_finish(ch);
  drop_wish(ch);
}

static void stop_posted(io_post *post) {
  caw_channel *ch = LIST_ENTRY(post, caw_channel, stop_post);
  shut(ch);
  caw_loop_stop(ch->loop);
}

void caw_channel_free(caw_channel *ch) {
  if (!ch) return;
  if (ch->own_loop) {
    io_loop_post(ch->loop, &ch->stop_post, stop_posted);
    pthread_join(ch->thread, NULL);
    caw_loop_free(ch->loop);
  } else {
    shut(ch);
  }
  client_stats_close(ch);
  chain_list_unref(ch->interceptors);
  caw_call_credentials_unref(ch->call_credentials);
  pthread_cond_destroy(&ch->started);
  pthread_mutex_destroy(&ch->lock);
  io_tls_client_free(ch->config.tls);
  caw_free(ch);
}

int caw_channel_intercept(caw_channel *ch, const caw_interceptor *interceptor, void *user) {
  if (atomic_load(&ch->used)) return CAW_ESTATE;
  return chain_list_add(&ch->interceptors, interceptor, user);
}
