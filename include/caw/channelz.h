/*
 * Channelz (gRFC A14): what a process's servers, channels and connections do at this moment, for
 * people who look for a fault. Off unless a program makes a caw_channelz and gives it to its
 * servers and channels, in their options; what is in it can be read here, or by the official
 * tools through the service grpc.channelz.v1.Channelz, which a server may add.
 *
 * A channel has one subchannel, and that has the sockets of its connections, usually one; a server
 * has the addresses that it listens at and the sockets of its clients. Each has an id, from 1 on,
 * that no other gets. What is gone is gone from here, too. Counting costs each loop some 80
 * instructions a unary call, and each connection some 400 bytes.
 *
 * The service tells everybody who may call the server who its peers are: guard it with an
 * interceptor, or add it to a server of its own that only friends reach.
 */
#ifndef CAW_CHANNELZ_H
#define CAW_CHANNELZ_H

#include <caw/channel.h>
#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

/* Makes an empty one, of one reference. Returns 0 or CAW_ENOMEM. Since 0.1. */
CAW_API int caw_channelz_new(caw_channelz **out);

/* Adds and gives back a reference; what is in it has its own. NULL is fine for unref. Any thread.
 * Since 0.1. */
CAW_API caw_channelz *caw_channelz_ref(caw_channelz *channelz);
CAW_API void caw_channelz_unref(caw_channelz *channelz);

typedef enum caw_channelz_kind {
  CAW_CHANNELZ_SERVER = 0,
  CAW_CHANNELZ_LISTENER = 1,   /* its parent is a server */
  CAW_CHANNELZ_CHANNEL = 2,    /* without a parent */
  CAW_CHANNELZ_SUBCHANNEL = 3, /* its parent is a channel */
  CAW_CHANNELZ_SOCKET = 4      /* its parent is a server or a subchannel */
} caw_channelz_kind;

/* One of them. Texts are borrowed for the callback. Times are since 1970, UTC, nanoseconds; 0:
 * that never happened. */
typedef struct caw_channelz_info {
  caw_channelz_kind kind;
  int64_t id, parent;     /* parent 0: none */
  caw_str name;           /* a channel's target, an address; may be empty */
  caw_connectivity state; /* channels and subchannels */

  /* Servers, channels and subchannels. */
  uint64_t calls_started, calls_succeeded, calls_failed;
  uint64_t last_call_started_ns;

  /* Sockets. A stream succeeded when it was not reset. */
  uint64_t streams_started, streams_succeeded, streams_failed;
  uint64_t messages_sent, messages_received;
  uint64_t keepalives_sent; /* PINGs */
  uint64_t last_stream_created_ns, last_message_sent_ns, last_message_received_ns;
  caw_str local, remote; /* as caw_call_peer; listeners: local */
  caw_str tls, cipher;   /* "TLSv1.3" and the cipher's name; empty: plaintext */
} caw_channelz_info;

/* How many are told at once at most, and when `max` is 0. */
#define CAW_CHANNELZ_PAGE 100

/*
 * Tells `fn` those of a kind, in the order of their ids, from `start` on, `max` at most; with a
 * `parent` other than 0 its own alone. *end, which may be NULL, says whether there are no more;
 * else the next page begins behind the last id. `fn` runs under a lock that new
 * connections need: it copies what it wants, and calls nothing of Caw. Any thread. Since 0.1.
 */
CAW_API void caw_channelz_read(caw_channelz *channelz, caw_channelz_kind kind, int64_t parent,
                               int64_t start, size_t max,
                               void (*fn)(const caw_channelz_info *info, void *user), void *user,
                               bool *end);

/* Tells `fn` the one with this id; false when there is none of this kind. As above. Since 0.1. */
CAW_API bool caw_channelz_find(caw_channelz *channelz, caw_channelz_kind kind, int64_t id,
                               void (*fn)(const caw_channelz_info *info, void *user), void *user);

/*
 * Serves grpc.channelz.v1.Channelz with what is in `channelz`, to which the server keeps a
 * reference; that may be another than the one of its own options. Pages are of
 * CAW_CHANNELZ_PAGE at most. Flow-control windows, socket options and traces of events are not
 * told. Before the server starts. Returns 0, CAW_EEXIST, CAW_ESTATE, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_channelz_add(caw_server *server, caw_channelz *channelz);

CAW_END_DECLS

#endif
