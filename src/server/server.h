/*
 * The inside of caw_server: the method table, a worker for each loop, and the
 * steps of draining. Private to src/server.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/map.h"
#include "conn/call.h"
#include "conn/conn.h"
#include "io/pool.h"
#include "io/socket.h"

#include <caw/blocking.h>
#include <caw/server.h>
#include <pthread.h>

/* A method that is served. */
typedef struct method_entry {
  struct method_entry *next; /* all of the server's, to free them */
  const caw_handler *handler;
  const void *impl;
  void *self;
} method_entry;

/* Where connections come in: the owner of a listener. */
typedef struct entrance {
  caw_server *server;
  caw_server_credentials *tls; /* NULL for plaintext */
} entrance;

/* One loop of a server, with its connections and calls. Everything but `load`
 * and the posts belongs to the loop's thread. */
typedef struct worker {
  caw_server *server;
  caw_loop *loop;
  pthread_t thread;
  bool threaded;    /* `thread` runs it */
  list conns;       /* of conn.node */
  list calls;       /* of server_call.node, until on_done */
  atomic_uint load; /* connections, with those on their way */
  uint64_t refused; /* streams, on connections that are over */
  bool draining, aborted;
  bool told_drained;
  bool drain_asked;    /* drain_post is on its way; under the server's lock */
  int result;          /* 0, or CAW_ETIMEDOUT: handlers did not finish */
  io_timer grace;      /* the end of the grace, then of the last second */
  uint64_t give_up_at; /* the end of that second */
  io_post drain_post;
  io_post drained_post; /* to the accepting loop */
} worker;

typedef struct drain_hook drain_hook; /* on_drain.c */

struct caw_server {
  caw_server_options options;
  conn_config config;
  map methods;
  method_entry *entries;
  void *blocking; /* blocking.c's list of handlers */
  io_pool *pool;  /* made with the first blocking method */
  worker *workers;
  unsigned n_workers;
  bool own_loops, started;
  bool ending;   /* caw_server_free was called: a drain does nothing any more */
  bool orphaned; /* to be freed, on the program's loop, when its last call is over */
  bool freed;    /* only posts that are on their way may still see it */

  io_listener **listeners;
  entrance **entrances; /* one for each */
  char **addresses;     /* texts of IO_ADDRESS_TEXT bytes */
  size_t n_listeners;
  char error[512];

  /* Draining: asked from any thread, done on the accepting loop. */
  pthread_mutex_t lock; /* drain_at, on_drained, drain_user, drain_asked */
  uint64_t drain_at;    /* when the grace is over */
  bool drain_asked;     /* drain_post is on its way */
  void (*on_drained)(void *user);
  void *drain_user;
  io_post drain_post;
  bool draining;
  unsigned left; /* workers that are not drained */
  drain_hook *drain_hooks;
};

/* server.c: an array of entries, and the adding of all or none of them, which
 * takes it over. 0, CAW_EINVAL, CAW_EEXIST, CAW_ENOMEM. */
method_entry *server_new_entries(size_t n);
int server_add_entries(caw_server *server, method_entry *entries, size_t n);

/* worker.c */
int worker_init(worker *w, caw_server *server, caw_loop *loop);
void worker_finish(worker *w);
/* Takes over an accepted descriptor, on the worker's thread; `tls` may be NULL. */
void worker_accept(worker *w, int fd, caw_server_credentials *tls);
/* Ends connections and calls; the server is told by server_worker_drained. */
void worker_drain(worker *w, uint64_t grace_at);
/* Something ended: is the worker drained now? */
void worker_check(worker *w);

/* server.c: any worker's thread. */
void server_worker_drained(worker *w, int rc);
/* server.c: a call is over; an orphaned server may go with it. The last that its
 * worker does. */
void server_call_gone(caw_server *server);

/* call.c */
caw_call *server_call_new(worker *w, conn *c);
/* Tells the handlers of a worker's calls that the server shuts down. */
void server_calls_shutdown(worker *w);
/* Has the calls of a worker whose connections are closed dispatched now. */
void server_calls_last_turn(worker *w);
/* Ends all calls of a worker with UNAVAILABLE. */
void server_calls_abort(worker *w);

/* on_drain.c */
void server_tell_drain(const caw_server *server);
void server_free_drain_hooks(caw_server *server);

/* blocking.c */
void server_blocking_free(caw_server *server);

#endif
