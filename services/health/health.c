/*
 * The health service (caw/health.h), on the public API only. One lock guards names,
 * statuses and watchers; it is held while a watcher's message is handed to its call, which
 * may be done from any thread and never calls back.
 */
#include <caw/health.h>

#include <caw/alloc.h>
#include <grpc/health/v1/health.caw.h>
#include <pthread.h>

/* More are not listed at once; as gRPC for Go does. */
#define LIST_MAX 100

#define SERVICE_UNKNOWN 3

typedef struct service {
  char *name;
  int status;
} service;

/* A call of Watch, in its arena. */
typedef struct watcher {
  struct watcher *prev, *next; /* in a ring with the health's */
  caw_health *health;
  caw_call *call;
  caw_str name; /* the request's, which lives as long */
  int told;     /* the status that was sent last, -1: none */
} watcher;

struct caw_health {
  pthread_mutex_t lock;
  service *services;
  size_t len, room;
  bool down;        /* after caw_health_shutdown */
  watcher watchers; /* the ring's head */
};

/* ---- Names, under the lock ---- */

static service *find(const caw_health *h, caw_str name) {
  for (size_t i = 0; i < h->len; i++)
    if (caw_str_is(name, h->services[i].name)) return &h->services[i];
  return NULL;
}

static service *add(caw_health *h, const char *name) {
  if (h->len == h->room) {
    size_t room = h->room ? 2 * h->room : 8;
    service *services = caw_realloc(h->services, room * sizeof(*services));
    if (!services) return NULL;
    h->services = services;
    h->room = room;
  }
  size_t len = strlen(name);
  char *copy = caw_malloc(len + 1);
  if (!copy) return NULL;
  memcpy(copy, name, len + 1);
  h->services[h->len] = (service){copy, h->down ? CAW_HEALTH_NOT_SERVING : CAW_HEALTH_UNKNOWN};
  return &h->services[h->len++];
}

/* ---- Watchers, under the lock ---- */

static void leave(watcher *w) {
  w->prev->next = w->next;
  w->next->prev = w->prev;
  w->prev = w->next = w;
}

/* Sends the status unless it is the one that was sent last. When the last is still on its
 * way nothing is: on_drain comes, and the status of then is sent. */
static void tell(watcher *w) {
  const service *s = find(w->health, w->name);
  int status = s ? s->status : SERVICE_UNKNOWN;
  if (status == w->told) return;
  grpc_health_v1_health_check_response reply = {0};
  reply.status = status;
  int rc = grpc_health_v1_health_watch_send_reply(w->call, &reply);
  if (!rc) w->told = status;
  if (rc != CAW_ENOMEM) return;
  /* It would believe what is true no more. */
  leave(w);
  caw_call_finish(w->call, rc, NULL);
}

static void tell_all(const caw_health *h) {
  for (watcher *w = h->watchers.next, *next; w != &h->watchers; w = next) {
    next = w->next;
    tell(w);
  }
}

/* ---- Check and List ---- */

static int check(caw_call *call, const grpc_health_v1_health_check_request *request,
                 grpc_health_v1_health_check_response *reply, void *self) {
  caw_health *h = self;
  pthread_mutex_lock(&h->lock);
  const service *s = find(h, request->service);
  if (s) reply->status = s->status;
  pthread_mutex_unlock(&h->lock);
  return s ? 0 : caw_call_fail(call, CAW_NOT_FOUND, "unknown service");
}

typedef grpc_health_v1_health_list_response list_response;

/* Under the lock. */
static int fill_list(caw_call *call, const caw_health *h, list_response *reply) {
  caw_arena *arena = caw_call_arena(call);
  if (h->len > LIST_MAX)
    return caw_call_fail(call, CAW_RESOURCE_EXHAUSTED, "more than %d services cannot be listed",
                         LIST_MAX);
  reply->statuses.items = caw_arena_calloc(arena, h->len + 1, sizeof(*reply->statuses.items));
  if (!reply->statuses.items) return CAW_ENOMEM;
  for (size_t i = 0; i < h->len; i++) {
    grpc_health_v1_health_check_response *value = caw_arena_calloc(arena, 1, sizeof(*value));
    caw_str key = caw_arena_dup(arena, caw_str_from(h->services[i].name));
    if (!value || !key.data) return CAW_ENOMEM;
    value->status = h->services[i].status;
    reply->statuses.items[i].key = key;
    reply->statuses.items[i].value = value;
    reply->statuses.len++;
  }
  return 0;
}

static int list_all(caw_call *call, const grpc_health_v1_health_list_request *request,
                    list_response *reply, void *self) {
  caw_health *h = self;
  (void)request;
  pthread_mutex_lock(&h->lock);
  int rc = fill_list(call, h, reply);
  pthread_mutex_unlock(&h->lock);
  return rc;
}

/* ---- Watch ---- */

/* Nobody tells it any more; then it may be finished. */
static void end(watcher *w, int code, const char *text) {
  pthread_mutex_lock(&w->health->lock);
  leave(w);
  pthread_mutex_unlock(&w->health->lock);
  caw_call_finish(w->call, code, text);
}

static void on_cancel(caw_call *call, void *user) {
  (void)call;
  end(user, CAW_CANCELLED, NULL);
}

static void on_drain(caw_call *call, void *user) {
  watcher *w = user;
  (void)call;
  pthread_mutex_lock(&w->health->lock);
  tell(w);
  pthread_mutex_unlock(&w->health->lock);
}

/* The server drains, and would wait for this call. The last word is that it does not
 * serve any more, whatever is still on its way. */
static void on_shutdown(caw_call *call, void *user) {
  watcher *w = user;
  pthread_mutex_lock(&w->health->lock);
  caw_call_set_send_buffer(call, SIZE_MAX);
  tell(w);
  pthread_mutex_unlock(&w->health->lock);
  end(w, CAW_UNAVAILABLE, "the server is shutting down");
}

static int watch(caw_call *call, const grpc_health_v1_health_check_request *request, void *self) {
  static const caw_call_events events = {on_cancel, on_drain, on_shutdown, NULL};
  caw_health *h = self;
  watcher *w = caw_arena_calloc(caw_call_arena(call), 1, sizeof(*w));
  if (!w) return CAW_ENOMEM;
  w->health = h;
  w->call = call;
  w->name = request->service;
  w->told = -1;
  caw_call_set_send_buffer(call, 1); /* one status at a time: those in between are skipped */
  caw_call_on(call, &events, w);
  pthread_mutex_lock(&h->lock);
  w->prev = h->watchers.prev;
  w->next = &h->watchers;
  w->prev->next = w->next->prev = w;
  tell(w);
  pthread_mutex_unlock(&h->lock);
  return CAW_PENDING;
}

/* ---- Public ---- */

int caw_health_new(caw_health **out) {
  caw_health *h = caw_calloc(1, sizeof(*h));
  if (!h) return CAW_ENOMEM;
  pthread_mutex_init(&h->lock, NULL);
  h->watchers.prev = h->watchers.next = &h->watchers;
  service *whole = add(h, "");
  if (!whole) {
    caw_health_free(h);
    return CAW_ENOMEM;
  }
  whole->status = CAW_HEALTH_SERVING;
  *out = h;
  return 0;
}

void caw_health_free(caw_health *h) {
  if (!h) return;
  for (size_t i = 0; i < h->len; i++) caw_free(h->services[i].name);
  caw_free(h->services);
  pthread_mutex_destroy(&h->lock);
  caw_free(h);
}

static void begin_drain(void *user) {
  caw_health_shutdown(user);
}

int caw_health_add(caw_server *server, caw_health *health) {
  static const grpc_health_v1_health_service functions = {.check = check,
                                                          .list = list_all,
                                                          .watch = watch};
  int rc = grpc_health_v1_health_add(server, &functions, health);
  return rc ? rc : caw_server_on_drain(server, begin_drain, health);
}

int caw_health_set(caw_health *h, const char *name, caw_health_status status) {
  if ((unsigned)status > CAW_HEALTH_NOT_SERVING) return CAW_EINVAL;
  pthread_mutex_lock(&h->lock);
  service *s = find(h, caw_str_from(name));
  if (!s) s = add(h, name);
  if (s && !h->down) s->status = (int)status;
  if (s) tell_all(h);
  pthread_mutex_unlock(&h->lock);
  return s ? 0 : CAW_ENOMEM;
}

static void set_all(caw_health *h, bool down, int status) {
  pthread_mutex_lock(&h->lock);
  h->down = down;
  for (size_t i = 0; i < h->len; i++) h->services[i].status = status;
  tell_all(h);
  pthread_mutex_unlock(&h->lock);
}

void caw_health_shutdown(caw_health *h) {
  set_all(h, true, CAW_HEALTH_NOT_SERVING);
}

void caw_health_resume(caw_health *h) {
  set_all(h, false, CAW_HEALTH_SERVING);
}
