/*
 * The inside of caw_channel: from a target to a connection, and the calls that
 * use it. Private to src/client. Everything belongs to the channel's loop but
 * for what is said to be atomic or locked.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "conn/call.h"
#include "conn/conn.h"
#include "io/address.h"
#include "client/credentials.h"
#include "io/resolver.h"

#include <caw/channel.h>
#include <pthread.h>

#define MAX_ADDRESSES 32
#define CHANNEL_ERROR 768 /* an address and a reason of TLS's fit */

typedef struct client_call client_call;

/* care.c: whether the channel is in use. */
typedef struct idleness {
  io_timer timer;
  bool on;        /* `timer` is in use */
  uint64_t since; /* care_idle was called last */
} idleness;

struct caw_channel {
  caw_channel_options options; /* strings are not kept here */
  io_target target;
  char authority[IO_HOST_ROOM + 8];
  char user_agent[256];
  char dns_server[64]; /* "" for the system's */
  conn_config config;
  conn_limits limits; /* of `config` */
  conn_tally tally;

  caw_loop *loop;
  bool own_loop;
  pthread_t thread;
  io_post stop_post, run_post;
  struct connect_wish *wish; /* channel.c */

  atomic_int state; /* caw_connectivity */
  list calls;       /* client_call.node: all, until their streams are gone */
  list waiting;     /* client_call.wait: without a stream */
  list watches;
  chain_list *interceptors;               /* NULL: none */
  caw_call_credentials *call_credentials; /* NULL: none */
  atomic_bool used;                       /* a call was started */
  list draining;                          /* conn.node of those that take no more calls */
  conn *conn; /* takes calls when the state is READY, else being opened */
  bool shut;  /* being freed */

  /* connect.c */
  io_lookup *lookup;
  io_address addresses[MAX_ADDRESSES];
  unsigned count, next; /* addresses, and the one to try next */
  io_timer backoff;
  uint64_t delay;        /* the present back-off, nanoseconds */
  uint64_t retry_at;     /* the earliest next attempt */
  unsigned quick_losses; /* connections in a row that ended before retry_at */
  io_task kick;          /* gives waiting calls to the connection */
  uint64_t random;       /* for the jitter */
  idleness idle;
  struct metrics_table *metrics;  /* NULL: nobody counts */
  struct caw_channelz *channelz;  /* NULL: nobody looks */
  struct z_entry *z, *subchannel; /* with that, if there was memory */

  pthread_mutex_t lock; /* error, running */
  pthread_cond_t started;
  bool running; /* the thread has begun to run the loop */
  char error[CHANNEL_ERROR];
};

/* connect.c */
int connect_init(caw_channel *ch);
void connect_finish(caw_channel *ch);
/* An idle channel begins to connect. */
void connect_start(caw_channel *ch);
/* Offers waiting calls to the connection, later in this turn. */
void connect_kick(caw_channel *ch);
/* Closes all connections: calls on them are closed. */
void connect_close(caw_channel *ch);

/* Lets the connection go: the channel is IDLE until it is asked for again. */
void connect_rest(caw_channel *ch);

/* care.c: keepalive, and idleness. 0 or CAW_ENOMEM. */
int care_init(caw_channel *ch);
void care_finish(caw_channel *ch);
/* A server wants fewer PINGs (gRFC A8). */
void care_calm(caw_channel *ch, const conn *c);
/* The channel connects, or its last call has ended. */
void care_idle(caw_channel *ch);

/* stats.c: the channel's table. `complete`: the target gets the scheme that it lacks. 0 or
 * CAW_ENOMEM. */
int client_stats_open(caw_channel *ch, caw_metrics *metrics, const char *target, bool complete);
/* Shows the channel to those who look; and the end of both. */
void client_stats_show(caw_channel *ch, struct caw_channelz *channelz, const char *target);
void client_stats_close(caw_channel *ch);
/* Its state is another. */
void client_stats_state(caw_channel *ch, caw_connectivity state);

/* channel.c */
void channel_set_state(caw_channel *ch, caw_connectivity state);
void channel_set_error(caw_channel *ch, const char *format, ...) CAW_PRINTF(2, 3);

/* call.c */
/* Opens a waiting call on the channel's connection. Returns 0 when it waits no
 * more (opened, or failed), CAW_EAGAIN when the connection takes no more now,
 * CAW_ECLOSED when it never will. */
int client_call_attach(client_call *cc, conn *c);
/* The channel could not connect: fails the waiting calls that do not wait for
 * readiness. */
void client_calls_fail(caw_channel *ch);
/* Ends every call with CANCELLED and calls their on_done. */
void client_calls_end(caw_channel *ch);
/* The call that waits. */
client_call *client_call_waiting(list *node);

#endif
