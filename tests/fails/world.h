/*
 * Where things fail: a server, a channel that is the victim, and a neighbour, a second
 * connection of the same server, which must be served whatever happens to the other. The
 * fixture of the tests in this folder. What must hold is checked by `must`, on any thread;
 * whatever does not come to its end is ended by a watchdog, both with the name of the run.
 */
#ifndef TESTS_FAILS_WORLD_H
#define TESTS_FAILS_WORLD_H

#include <caw/channel.h>
#include <caw/interceptor.h>
#include <caw/server.h>

/* ---- What must hold ---- */

/* The run under way, for whatever goes wrong in it. */
CAW_PRINTF(1, 2) void run_name(const char *format, ...);
/* The run has so many seconds; 0: it is over. */
void run_within(unsigned seconds);
CAW_PRINTF(3, 4) _Noreturn void run_fail(const char *file, int line, const char *format, ...);
#define must(condition)                                                                            \
  do {                                                                                             \
    if (!(condition)) run_fail(__FILE__, __LINE__, "%s", #condition);                              \
  } while (0)
#define must_be(got, want)                                                                         \
  do {                                                                                             \
    long long must_got = (got), must_want = (want);                                                \
    if (must_got != must_want)                                                                     \
      run_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #got, must_got, must_want);             \
  } while (0)

/* Milliseconds of a clock that never goes back. */
uint64_t milliseconds(void);

/* ---- Both ends ---- */

typedef struct world world;

typedef struct setting {
  bool tls, mutual;     /* the victim's connection has it */
  bool local;           /* through a Unix socket */
  bool warm;            /* the victim's connection is there before anything fails */
  bool cold;            /* it is the server's first: the neighbour has none before it is over */
  bool watched;         /* with metrics and channelz, of both ends */
  bool bare;            /* no server, no channel: the scenario makes what it wants */
  caw_encoding replies; /* of the server's options */
  void (*prepare)(world *w, caw_server_options *server, caw_channel_options *channel);
  void (*equip)(world *w); /* the server and the channel are made; nobody listens yet */
} setting;

struct world {
  setting how;
  caw_loop *loop;
  caw_server *server;
  caw_channel *channel, *neighbour;
  const char *target; /* the victim's */
  caw_server_credentials *server_tls;
  caw_channel_credentials *channel_tls;
  caw_metrics *metrics;
  struct caw_channelz *channelz;
  struct conn *next_door; /* the neighbour's connection */
  long neighbour_calls;
  void *extra; /* the scenario's */
};

void world_open(world *w, const setting *how);
void world_close(world *w);

/* Makes a channel to the same server as the victim has. */
int world_channel(world *w, caw_channel **out);

/* Runs the loop until *flag is not 0. Now and then the neighbour makes a call. */
void world_until(world *w, const int *flag);
void world_turns(world *w, int n);

/* Told when nothing is to fail for a moment, and when that is over; that
 * what is made from now on is the victim's. May be NULL. */
extern void (*world_pauses)(bool on);
extern void (*world_begins)(void);
void world_pause(bool on);

/* A call of the neighbour's, while nothing fails: on the same connection, with OK. */
void world_neighbour(world *w);

/* Sets *user to 1. */
void set_flag(void *user);

/* ---- The service ---- */

enum { BIG = 40000, MANY = 12 }; /* together more than a stream's window as it begins */

extern const caw_method echo, down, up, both, waits, fails, join, relay;
extern char big[1 << 20];

/* The server's side of the victim's calls. */
extern struct served {
  caw_call *pending;
  caw_call *joined[4];
  int n_joined;
  int begun, done;
  int idle; /* all that began are done */
  int left, came;
  caw_encoding encoding;   /* of this call's replies */
  caw_channel *downstream; /* of `relay` */
} served;

/* ---- A call of the victim's ---- */

typedef struct talk {
  caw_call *call;
  int done, code, replies;
  size_t bytes;
  bool metadata, trailers, details; /* have come whole */
  bool cancel;                      /* at the first reply */
  int to_send;                      /* requests */
  size_t size;                      /* bytes of each; 0: BIG */
} talk;

/* Starts a call; 0 or CAW_ENOMEM, ... as it is told. `options` may be NULL. It carries some
 * metadata, unless the options do. */
int talk_begin(world *w, talk *t, const caw_method *method, caw_channel *channel,
               const caw_call_options *options);
/* Waits for its end and that of its handler; the status. */
int talk_end(world *w, talk *t);
/* Both: a status, or the error with which it did not begin. */
int talk_all(world *w, talk *t, const caw_method *method, const caw_call_options *options);

#endif
