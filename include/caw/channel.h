/*
 * caw_channel: a client's way to a service: resolves a target, keeps a
 * connection to it, and makes calls on it.
 *
 * With options.loop the channel lives on the program's loop and every function
 * belongs to that loop's thread unless marked "any thread". Without it the
 * channel makes one thread, with a loop of its own, for callbacks and for the
 * blocking face (caw/blocking.h).
 *
 * A channel connects when it is first needed. When that fails it tries again
 * with gRPC's back-off (connection-backoff.md). A call that no server has
 * processed (refused, or above a GOAWAY's last stream) is sent once more by
 * itself, on another connection if need be (gRFC A6, transparent retry).
 */
#ifndef CAW_CHANNEL_H
#define CAW_CHANNEL_H

#include <caw/call.h>
#include <caw/credentials.h>
#include <caw/export.h>
#include <caw/limits.h>
#include <caw/loop.h>
#include <caw/metrics.h>
#include <caw/tls.h>

CAW_BEGIN_DECLS

typedef struct caw_channel caw_channel;

/* The state of a channel (gRPC: connectivity-semantics-and-api.md). */
typedef enum caw_connectivity {
  CAW_CHANNEL_IDLE = 0,              /* nothing asked for a connection yet */
  CAW_CHANNEL_CONNECTING = 1,        /* resolving, connecting */
  CAW_CHANNEL_READY = 2,             /* calls can be made */
  CAW_CHANNEL_TRANSIENT_FAILURE = 3, /* failed; waits before it tries again */
  CAW_CHANNEL_SHUTDOWN = 4           /* being freed */
} caw_connectivity;

/* The zero value of each member is the default. Strings are copied. */
typedef struct caw_channel_options {
  size_t size;                 /* sizeof(caw_channel_options) */
  caw_loop *loop;              /* the program's loop; NULL: a thread of its own */
  const char *authority;       /* NULL: the server_name of the credentials, or the
                                  target's "host:port" */
  const char *user_agent;      /* put before Caw's own; NULL: none */
  const char *dns_server;      /* "ip:port" to ask instead of the system's; NULL */
  size_t max_receive;          /* bytes of a message received; 0: 4 MiB */
  size_t send_buffer;          /* bytes a call may queue before CAW_EAGAIN; 0: 64 KiB */
  uint64_t connect_timeout_ms; /* for one attempt; 0: 20,000 */
  uint64_t backoff_initial_ms; /* first wait after a failure; 0: 1,000 */
  uint64_t backoff_max_ms;     /* longest wait; 0: 120,000 */
  caw_encoding encoding;       /* of requests (caw/compression.h) */
  /* TLS; NULL: plaintext. The channel keeps a reference. */
  caw_channel_credentials *credentials;
  caw_call_credentials *call_credentials; /* of every call (caw/credentials.h); the channel
                                             keeps a reference; NULL: none */
  /* Sends call credentials to whoever answers, where everybody on the way can read
   * and use them: in plaintext, or with insecure_noverify. For tests in a network of one's
   * own. */
  bool insecure_credentials_over_plaintext;

  /*
   * Keepalive (gRPC: keepalive.md; gRFC A8), milliseconds. It is off by default, since
   * PINGs of many clients are a load that a server's operator has to agree to: gRPC's
   * servers end the connection ("too_many_pings") when they come more often than every
   * 5 minutes, or without calls, unless they are told otherwise. When nothing came from
   * the server for keepalive_time_ms it gets a PING; when keepalive_timeout_ms later
   * still nothing came, and nothing that was sent before gets on either, the connection
   * ends and its calls with UNAVAILABLE. With it, TCP gives up unacknowledged bytes
   * after the same timeout (gRFC A18). After "too_many_pings" the time is doubled for
   * what the channel connects to next, and caw_channel_error says so.
   */
  uint64_t keepalive_time_ms;          /* 0, CAW_NEVER: none; what is below 10,000 is 10,000 */
  uint64_t keepalive_timeout_ms;       /* 0: 20,000 */
  bool keepalive_permit_without_calls; /* PINGs also while there is no call */
  unsigned keepalive_max_pings_without_data; /* PINGs in a row while no frame of a call is
                                                sent; 0: no limit, as gRFC A8 wants it */
  /* A channel that has had no call for this long lets its connection go and is IDLE
   * until the next (gRPC: connectivity-semantics-and-api.md). Milliseconds, at least
   * 1,000; 0: 1,800,000; CAW_NEVER: not at all. */
  uint64_t idle_timeout_ms;

  const caw_limits *limits; /* of a connection (caw/limits.h), copied; NULL: the defaults */

  /* What counts the channel's calls (caw/metrics.h), under `target` as caw_channel_new has
   * it; the channel keeps a reference; NULL: nobody counts. */
  caw_metrics *metrics;
  const char *metrics_target; /* in place of the target: "other", where targets are many; NULL */
  /* Where the channel and its connection can be looked at (caw/channelz.h); the channel keeps
   * a reference; NULL: nowhere. */
  struct caw_channelz *channelz;
} caw_channel_options;

/* Options of one call. The zero value of each member is the default. Copied,
 * with everything it points to, but for `parent`. */
typedef struct caw_call_options {
  size_t size;         /* sizeof(caw_call_options) */
  uint64_t timeout_ms; /* deadline from now; 0: none */
  bool wait_for_ready; /* wait for a connection rather than fail at once (wait-for-ready.md) */
  const caw_metadata_entry *metadata; /* sent with the request */
  size_t metadata_len;
  /*
   * A server's call on whose behalf this one is made: its deadline, if it is
   * nearer, becomes this call's, its cancellation cancels this one, and the trace that it
   * belongs to goes on (caw/trace_context.h). Alive when the call is started; afterwards held
   * by reference.
   */
  caw_call *parent;
  size_t max_receive;                /* bytes of a message received; 0: the channel's */
  caw_encoding encoding;             /* of the requests; DEFAULT: the channel's. A server that does
                                        not know it answers UNIMPLEMENTED */
  caw_call_credentials *credentials; /* besides the channel's; held by reference; NULL: none */
} caw_call_options;

/* What a client hears of a call. Members may be NULL, but for on_done. */
typedef struct caw_client_events {
  /* The response's leading metadata; at most once, before any message. */
  void (*on_metadata)(caw_call *call, const caw_metadata *metadata, void *user);
  /* A reply, borrowed until the function returns. */
  void (*on_message)(caw_call *call, const void *message, void *user);
  /* The queue was full and is half empty now. */
  void (*on_drain)(caw_call *call, void *user);
  /* The end: exactly once, last. The call object goes afterwards unless
   * somebody holds a reference. */
  void (*on_done)(caw_call *call, const caw_status *status, void *user);
  caw_fn typed; /* for generated adapters; see caw_call_typed */
} caw_client_events;

/*
 * Makes a channel to `target`: "host:port", "dns:///host:port",
 * "ipv4:a.b.c.d:port[,...]", "ipv6:[a::b]:port[,...]", "unix:PATH",
 * "unix-abstract:NAME" (gRPC: naming.md). Nothing is connected yet. Returns 0;
 * CAW_EADDR with the reason in *why, a static text (`why` may be NULL);
 * CAW_EINVAL (with credentials: also an authority without a host that could be checked),
 * CAW_ENOMEM, CAW_ELIMIT. Since 0.1.
 */
CAW_API int caw_channel_new(caw_channel **out, const char *target,
                            const caw_channel_options *options, const char **why);

/*
 * Frees the channel; calls that are open end with CANCELLED, their on_done
 * called before this returns. It may be called from a callback of a call on the
 * channel: that call's on_done, if it is still owed, comes when the callback has
 * returned. NULL is fine. A call that the program holds by reference outlives the
 * channel; but no function of it may run at the same moment on another thread, as
 * the channel's own loop ends here. The loop's thread; or, with a thread of its
 * own, any thread but that one. Since 0.1.
 */
CAW_API void caw_channel_free(caw_channel *channel);

/* How often a limit of caw/limits.h was hit since the channel was made; 0 for a value that
 * is none. Any thread. Since 0.1. */
CAW_API uint64_t caw_channel_limit_hits(const caw_channel *channel, caw_limit limit);

/* The channel's loop. Any thread. Since 0.1. */
CAW_API caw_loop *caw_channel_loop(const caw_channel *channel);

/* The state now; with `connect` an idle channel begins to connect. Any
 * thread. Since 0.1. */
CAW_API caw_connectivity caw_channel_state(caw_channel *channel, bool connect);

/* The name of a state in capitals, a static string. Since 0.1. */
CAW_API const char *caw_connectivity_name(caw_connectivity state);

/*
 * Calls `fn` once when the state is no longer `last`, or after `timeout_ms`
 * (0: without limit) with the state as it is then. It is called also when the
 * channel is freed. Returns 0, CAW_ENOMEM, CAW_ECLOSED (the channel is being
 * freed). Loop's thread. Since 0.1.
 */
CAW_API int caw_channel_watch(caw_channel *channel, caw_connectivity last, uint64_t timeout_ms,
                              void (*fn)(caw_channel *channel, caw_connectivity now, void *user),
                              void *user);

/*
 * Why the channel last failed to connect or lost its connection, a sentence for
 * people that names the address and the reason; empty when neither happened. Copies at most `room`
 * bytes with a NUL into `out` and returns the whole length. Any thread. Since 0.1.
 */
CAW_API size_t caw_channel_error(caw_channel *channel, char *out, size_t room);

/*
 * Starts a call. `method` lives as long as the call; `options` may be NULL;
 * `events` is copied. The call object in *out (which may be NULL) is valid until on_done
 * has returned, or longer by caw_call_ref. Requests follow by caw_call_send,
 * their end by caw_call_close_send. Returns 0, or, without any callback,
 * CAW_EINVAL (a metadata key or value is not allowed, `parent` is not a server's
 * call), CAW_ENOMEM, CAW_ETHREAD, CAW_ECLOSED (the channel is being freed).
 * Loop's thread. Since 0.1.
 */
CAW_API int caw_call_start(caw_call **out, caw_channel *channel, const caw_method *method,
                           const caw_call_options *options, const caw_client_events *events,
                           void *user);

/* Told of a call with one reply: `reply` is NULL unless the status is OK, and
 * borrowed until the function returns. */
typedef void (*caw_unary_done)(caw_call *call, const caw_status *status, const void *reply,
                               void *user);

/* Starts a call with one request and one reply: sends `request`, half-closes,
 * and has `done` called at the end. `typed` is for generated adapters. Returns
 * as caw_call_start and caw_call_send. Loop's thread. Since 0.1. */
CAW_API int caw_call_start_unary(caw_call **out, caw_channel *channel, const caw_method *method,
                                 const void *request, const caw_call_options *options,
                                 caw_unary_done done, caw_fn typed, void *user);

/* Starts a call with one request and many replies: sends `request` and
 * half-closes. Returns as caw_call_start and caw_call_send. Loop's thread. Since 0.1. */
CAW_API int caw_call_start_with(caw_call **out, caw_channel *channel, const caw_method *method,
                                const void *request, const caw_call_options *options,
                                const caw_client_events *events, void *user);

CAW_END_DECLS

#endif
