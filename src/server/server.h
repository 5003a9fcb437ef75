/*
 * The inside of caw_server: the method table, a worker for each loop, and the
 * steps of draining. Private to src/server.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/map.h"
#include "conn/call.h"
#include "conn/chain.h"
#include "conn/conn.h"
#include "io/pool.h"
#include "io/socket.h"

#include <caw/blocking.h>
#include <caw/server.h>
#include <pthread.h>
#include <sys/types.h>

/* A method that is served. */
typedef struct method_entry {
  struct method_entry *next; /* all of the server's, to free them */
  const caw_handler *handler;
  const void *impl;
  void *self;
  size_t number; /* from 1 on */
} method_entry;

/* An address at which connections come in: the owner of a listener (listen.c). */
typedef struct entrance {
  caw_server *server;
  io_listener *listener;       /* NULL once nobody listens there */
  caw_server_credentials *tls; /* NULL for plaintext */
  struct z_entry *channelz;    /* NULL: nobody looks */
  char address[IO_ADDRESS_TEXT];
  char wanted[]; /* the words in which it was asked for */
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
  /* stats.c: the loop's counters, and their rows by method_entry.number, 0 for "other". */
  struct metrics_table *metrics; /* NULL: nobody counts */
  struct metrics_row **rows;
  size_t n_rows;
  struct z_calls *shown; /* what the loop counts of caw/channelz.h; NULL: nobody looks */
  bool counts;           /* calls are told to stats.c */
} worker;

typedef struct drain_hook drain_hook;   /* on_drain.c */
typedef struct handover handover;       /* handover.c */
typedef struct signal_wish signal_wish; /* signals.c */
typedef struct free_hook free_hook;     /* on_free.c */

struct caw_server {
  caw_server_options options;
  conn_config config;
  conn_limits limits; /* of `config` */
  conn_tally tally;
  chain_list *interceptors; /* NULL: none */
  map methods;
  method_entry *entries;
  size_t n_methods;
  struct server_service *services; /* describe.c */
  free_hook *free_hooks;           /* on_free.c */
  size_t n_services;
  struct z_entry *channelz; /* NULL: nobody looks */
  void *blocking;           /* blocking.c's list of handlers */
  io_pool *pool;            /* made with the first blocking method */
  worker *workers;
  unsigned n_workers;
  bool own_loops, started;
  bool ending;   /* caw_server_free was called: a drain does nothing any more */
  bool orphaned; /* to be freed, on the program's loop, when its last call is over */
  bool freed;    /* only posts that are on their way may still see it */

  entrance **entrances;
  size_t n_entrances;
  char error[512];

  /* Draining: asked from any thread, done on the accepting loop. */
  pthread_mutex_t lock;  /* drain_at, on_drained, drain_user, drain_asked, drained_news */
  uint64_t drain_at;     /* when the grace is over */
  bool drain_asked;      /* drain_post is on its way */
  unsigned drained_news; /* workers whose drained_post is on its way */
  void (*on_drained)(void *user);
  void *drain_user;
  io_post drain_post;
  bool draining;
  unsigned left; /* workers that are not drained */
  drain_hook *drain_hooks;
  signal_wish *signals;
  handover *handover;
  bool notify; /* systemd.c: the service manager is told */
  io_post begin_post;
  bool begin_posted; /* begin_post is on its way */
};

/* server.c: an array of entries, and the adding of all or none of them, which
 * takes it over. 0, CAW_EINVAL, CAW_EEXIST, CAW_ENOMEM. */
method_entry *server_new_entries(size_t n);
int server_add_entries(caw_server *server, method_entry *entries, size_t n);

/* describe.c: the service of a path is known from now on. 0 or CAW_ENOMEM. */
int server_note_service(caw_server *server, const char *path);

/* on_free.c */
void server_run_free_hooks(caw_server *server);

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
/* Finds the method of a path that came: conn_events.on_path. */
caw_str server_call_path(caw_call *call, caw_str path);
/* Tells the handlers of a worker's calls that the server shuts down. */
void server_calls_shutdown(worker *w);
/* Has the calls of a worker whose connections are closed dispatched now. */
void server_calls_last_turn(worker *w);
/* Ends all calls of a worker with UNAVAILABLE. */
void server_calls_abort(worker *w);

/* stats.c: a worker's counters. 0 or CAW_ENOMEM. */
int server_stats_open(worker *w);
void server_stats_close(worker *w);
/* Shows the server to those who look; and an entrance, or no more. */
void server_show(caw_server *server);
void server_show_entrance(entrance *e);
void server_hide_entrance(entrance *e);
/* A call of this method, NULL: of none that is served, begins; and has ended. For a worker
 * that has counters. */
void server_stats_began(worker *w, const method_entry *entry, const caw_call *call);
void server_stats_ended(worker *w, const method_entry *entry, const caw_call *call, int code);

/* on_drain.c */
void server_tell_drain(const caw_server *server);
void server_free_drain_hooks(caw_server *server);

/* listen.c: notes what went wrong for caw_server_error; returns `rc`. */
int server_fail(caw_server *server, int rc, const char *format, ...) CAW_PRINTF(3, 4);
/* listen.c: takes over a listening descriptor, as io_listener_adopt does, without accepting
 * from it; on an error it stays the caller's. What was asked for, `wanted`, is copied; `tls`
 * may be NULL. */
int server_listen_on(caw_server *server, io_listener **out, int fd, const char *wanted,
                     caw_server_credentials *tls);
/* listen.c: nobody is let in any more; and the memory. */
void server_unlisten(caw_server *server);
void server_free_entrances(caw_server *server);
/* server.c: has handover_begin and systemd_begin called in the loop's first turn. */
void server_begin_later(caw_server *server);

/*
 * handover.c. Listens on what the process before us had for the same words; does nothing
 * when there is none. The same for one address: CAW_ENOTFOUND, nothing was done.
 */
int handover_listen(caw_server *server, const char *wanted, caw_server_credentials *tls);
int handover_listen_at(caw_server *server, const io_address *address, const char *wanted,
                       caw_server_credentials *tls);
/* What was listened on is not any more: if it is of the process before us it may be asked
 * for again. Before io_listener_close. */
void handover_undo(caw_server *server, const io_listener *listener);
/* Do our listening sockets go on in another process? */
bool handover_keeps(const caw_server *server);
/* Who took over, 0: nobody. */
pid_t handover_heir(const caw_server *server);
/* Nanoseconds that a successor has, from the letter until it serves; then the next may come
 * in its place. 60 s, but for tests. */
extern atomic_ullong handover_heir_time;
/* The loop runs: connections are accepted. */
void handover_begin(caw_server *server);
/* No other process is to come any more. On the accepting loop. */
void handover_close(caw_server *server);
void handover_free(caw_server *server);

/* systemd.c: tells the service manager that the server serves. */
void systemd_begin(const caw_server *server);

/* care.c: what the options say of keepalive and of a connection's limits. */
void server_set_care(caw_server *server);

/* signals.c: heeds signals no more. On the accepting loop. */
void server_forget_signals(caw_server *server);

/* blocking.c */
void server_blocking_free(caw_server *server);

#endif
