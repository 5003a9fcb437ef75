/*
 * One connection: a socket, the HTTP/2 session on it and its calls. It turns
 * readable bytes into news for calls, and the session's output into one write
 * per turn of the loop. Who accepts or opens connections, and what calls mean,
 * is the owner's business (src/server, src/client).
 */
#ifndef CONN_CONN_H
#define CONN_CONN_H

#include "conn/age.h"
#include "conn/inflate.h"
#include "conn/keepalive.h"
#include "conn/limits.h"
#include "conn/patience.h"
#include "io/loop.h"
#include "io/socket.h"
#include "io/tls.h"
#include "rpc/call.h"

#include <caw/call.h>

/* What the owner of a connection hears; loop's thread, internal code only. */
typedef struct conn_events {
  /* Server: a stream begins. Returns a new call (call_init done) or NULL to
   * refuse it. */
  caw_call *(*on_open)(void *owner, conn *c);
  /* The peer's SETTINGS came: calls can be made. */
  void (*on_ready)(void *owner, conn *c);
  /* The peer takes no more calls here. The connection ends by itself when its
   * calls are over. */
  void (*on_goaway)(void *owner, conn *c);
  /* A call left the connection: another may be opened. */
  void (*on_capacity)(void *owner, conn *c);
  /* The connection is over; its calls have been told. `rc` is 0 after an
   * orderly end, else the CAW_E*; `why` is a text for people, borrowed. Last. */
  void (*on_closed)(void *owner, conn *c, int rc, const char *why);
  /* Server: as rpc_session_events.on_path. */
  caw_str (*on_path)(caw_call *call, caw_str path);
} conn_events;

/* Read while the connection lives; outlives it. */
typedef struct conn_config {
  h2_config h2;
  keepalive_config keepalive;
  age_config age;            /* server */
  uint64_t ready_timeout;    /* nanoseconds until the peer's SETTINGS must be there, with the TLS
                                handshake; UINT64_MAX: any time */
  const conn_limits *limits; /* NULL: default_limits */
  conn_tally *tally;         /* of all connections of the owner; NULL: nobody counts */
  io_tls_client *tls;        /* client: NULL for plaintext */
  struct caw_channelz *channelz;   /* NULL: nobody looks */
  struct z_entry *channelz_parent; /* the server, or the subchannel; may be NULL */
} conn_config;

/* memory.h: what the messages of its calls take. */
typedef struct conn_memory {
  size_t came;     /* received, decompressed */
  size_t charged;  /* of the tally's bytes */
  list starved;    /* of caw_call.put_off: calls that get no window for the rest of a message */
  list queue;      /* of caw_call.put_off: calls that wait for their handler */
  caw_call *fed;   /* the one that gets window whatever there is, or NULL */
  size_t fed_len;  /* what it had when it was last seen to get something, */
  uint64_t fed_at; /* and when that was */
  bool stuck;      /* the peer took nothing while calls waited */
} conn_memory;

struct conn {
  caw_loop *loop;
  io_socket *socket; /* NULL once closed */
  rpc_session rpc;
  const conn_config *config;
  const conn_events *events;
  void *owner;
  list node;              /* the owner's */
  io_task flush;          /* writes what the session has */
  io_timer deadline;      /* ready_timeout; later the steps of draining */
  uint64_t ready_timeout; /* of the conn_config */
  unsigned refs;          /* loop's thread: the owner's until on_closed, one per call */
  unsigned live;          /* calls that are not finished on both sides */
  unsigned unheard;       /* server: calls that are closed, and wait for the turn to hear of it */
  size_t unheard_bytes;   /* what the headers of these take */
  unsigned leaving;       /* those of them that are in `live` */
  unsigned max_live;      /* server: beyond, streams are refused */
  conn_memory memory;
  inflate inflate;
  uint64_t refused;       /* streams, so far */
  h2_allowance allowance; /* what the peer may still do; filled up with time */
  uint32_t excuses;       /* server: of resets; filled up with it */
  uint32_t hurried;       /* server: excuses of calls given up before their time: allowance.c */
  uint8_t earned;         /* server: towards one more of these */
  uint32_t input;         /* bytes of the peer's so far, wrapping around */
  uint64_t filled;        /* when that was, on the loop's clock */
  keepalive keepalive;
  age age;
  patience patience;
  struct z_entry *channelz; /* while it is connected, if somebody looks */
  size_t discarded;         /* bytes that came after its end */
  const char *drained;      /* the debug data of the last GOAWAY, a literal; NULL: none */
  bool dismissed;           /* client: the server wants no more calls here; nothing is wrong */
  bool too_many_pings;      /* client: the server ends it for its PINGs */
  bool connected;           /* TCP is there, and TLS */
  bool excused;             /* it got more time to begin, after a standstill */
  bool heard;               /* the peer has said something */
  bool useful;              /* a call's leading headers came */
  bool crowded;             /* not read until calls that are gone have had their turn */
  bool overdrawn;           /* its allowance of resets: it ends with the next flush */
  bool throttled;           /* not read until the peer has read what it made us owe */
  bool blocked;             /* the kernel takes no more; on_writable comes */
  bool draining;            /* ends when the last call has */
  bool drain_acked;         /* the peer answered the PING of a drain */
  bool lingering;           /* all is said; waits for the peer to close */
  bool goaway_final;        /* the second GOAWAY of a drain was sent */
  int failure;              /* why it ends once its output is flushed, or 0 */
  const char *broken;       /* the rule of HTTP/2 that the peer broke, or NULL */
  char *told;               /* what the peer's GOAWAY said was wrong, if it said so */
  char *peer;               /* the peer's address, if there was memory; never changes */
  char *why;                /* once it is closed, if there was memory: why */
  /* With TLS: who the peer is. Never changes once connected. */
  caw_peer_identity *identity;
};

/* What the peer may do and take. */
static inline const conn_limits *conn_limits_of(const conn *c) {
  return c->config->limits ? c->config->limits : &default_limits;
}

/* The peer's address as text. */
static inline const char *conn_peer(const conn *c) {
  return c->peer ? c->peer : "(unknown)";
}

/* Why it was closed; "" before, and when there was no memory for it. */
static inline const char *conn_why(const conn *c) {
  return c->why ? c->why : "";
}

/* Is nobody on the way who could read along or answer in the peer's place: does the
 * connection have TLS, or does it not leave this machine (loopback, Unix)? What is secret,
 * like a call's credentials, is sent on such connections only. For one that is connected. */
bool conn_is_tls(const conn *c);
bool conn_is_private(const conn *c);

/* Opens a connection to `address`. 0 or the error of io_socket_connect. */
int conn_connect(conn **out, caw_loop *loop, const io_address *address, const conn_config *config,
                 const conn_events *events, void *owner);

/* Takes over an accepted descriptor, with TLS unless `tls` is NULL; on error too, which
 * closes it. */
int conn_adopt(conn **out, caw_loop *loop, int fd, const conn_config *config,
               caw_server_credentials *tls, uint32_t max_live, const conn_events *events,
               void *owner);

/* Writes what the session has, at the end of this turn. */
void conn_flush_later(conn *c);

/* Ends the connection when its calls are over, telling the peer: a server by
 * GOAWAY in two steps (RFC 9113 6.8), a client at once; one that is still connecting when
 * that is over, within ready_timeout. */
void conn_drain(conn *c);

/* The same, giving the reason, a literal, as debug data (gRFC A9). */
void conn_drain_for(conn *c, const char *reason);

/* Ends it now: calls are closed, on_closed is called inside. */
void conn_close(conn *c, int rc, const char *why);

/* The peer has exceeded a limit, outside of the session: GOAWAY with `code` and `why`, a
 * literal, and the end, which does not wait for a peer that does not read, unless PINGs were the
 * matter; then it comes with a flush. */
void conn_exceeded(conn *c, caw_limit limit, uint32_t code, const char *why);

/* The memory of the connection, for calls that outlive its socket. */
void conn_ref(conn *c);
void conn_unref(conn *c);

/* Server: a call's turn has come: its handler hears of what has happened. */
void conn_heard(caw_call *call);
/* Server: may the handler of a call begin: are there no more than max_live? */
bool conn_has_place(const conn *c);
/* Server: the call, which has none, leaves its place to others. */
void conn_yield(caw_call *call);

/* A call joins: it holds the connection's memory until conn_leave. */
void conn_join(conn *c, caw_call *call);
void conn_leave(caw_call *call);

#endif
