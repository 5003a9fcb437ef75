/*
 * caw_server: listens, and answers calls with the handlers of its services.
 *
 * It runs in one of two ways. On a loop of the program's (options.loop): no
 * thread is created. By caw_server_run: the calling thread runs the first
 * loop, which also accepts connections; options.loops - 1 more threads run a
 * loop each, and options.pool_threads serve blocking handlers, started when
 * the first such call comes.
 */
#ifndef CAW_SERVER_H
#define CAW_SERVER_H

#include <caw/call.h>
#include <caw/export.h>
#include <caw/limits.h>
#include <caw/loop.h>
#include <caw/metrics.h>
#include <caw/tls.h>

CAW_BEGIN_DECLS

typedef struct caw_server caw_server;
typedef struct caw_channelz caw_channelz; /* caw/channelz.h */

/* A call that ended, for an access log. Borrowed for the callback. */
typedef struct caw_call_summary {
  caw_str path;                        /* ":path" as the peer sent it */
  caw_str peer;                        /* as caw_call_peer */
  caw_status status;                   /* the outcome */
  uint64_t duration_ns;                /* from the request's headers to the end */
  uint64_t received;                   /* messages */
  uint64_t sent;                       /* messages */
  uint64_t received_bytes, sent_bytes; /* of these, as they travelled, without gRPC's prefix */
  uint64_t started_ns;                 /* when it began: since 1970, UTC, nanoseconds */
  uint64_t timeout_ns; /* what the client gave it at first; UINT64_MAX: no deadline */
  caw_str authority;   /* as caw_call_authority */
  caw_str user_agent;  /* what the client says it is; empty: nothing */
  caw_str traceparent; /* if there is a valid one (caw/trace_context.h); else empty */
} caw_call_summary;

/* The zero value of each member is the default. Copied. */
typedef struct caw_server_options {
  size_t size;           /* sizeof(caw_server_options) */
  caw_loop *loop;        /* the program's loop; NULL: caw_server_run */
  unsigned loops;        /* loops of caw_server_run, 1 to 64; 0: 1 */
  unsigned pool_threads; /* for blocking handlers, 1 to 1,024; 0: 8 */
  unsigned pool_queue;   /* calls that may wait for a pool thread; beyond, they get
                            RESOURCE_EXHAUSTED; 0: 1,000 */
  uint32_t max_streams;  /* concurrent calls per connection, counted until the
                            handler has finished; 0: 100 */
  size_t max_receive;    /* bytes of a message received; 0: 4 MiB */
  size_t send_buffer;    /* bytes a call may queue before CAW_EAGAIN; 0: 64 KiB */
  /* Called for every call that ended, also those that no handler saw, on the
   * thread of the call's loop. */
  void (*on_call)(const caw_call_summary *call, void *user);
  void *user;            /* for on_call */
  caw_encoding encoding; /* of replies to clients that accept it (caw/compression.h) */

  /*
   * Keepalive (gRPC: keepalive.md; gRFC A9). Milliseconds; CAW_NEVER switches off.
   * A client from which nothing came for keepalive_time_ms gets a PING, whether or not
   * it has calls; when keepalive_timeout_ms later still nothing came, and nothing that
   * was sent before gets on either, the connection ends. With it, TCP gives up
   * unacknowledged bytes after the same timeout (gRFC A18).
   */
  uint64_t keepalive_time_ms;    /* at least 1,000; 0: 7,200,000, two hours, as TCP has it */
  uint64_t keepalive_timeout_ms; /* 0: 20,000 */
  unsigned keepalive_max_pings_without_data; /* PINGs in a row while no frame of a call is
                                                sent; 0: no limit, as gRFC A8 wants it */
  /*
   * Clients that send more PINGs than this hear GOAWAY with ENHANCE_YOUR_CALM and
   * "too_many_pings", and lose their connection and calls (gRFC A8, "Server
   * Enforcement"). Without data means: since the last DATA, HEADERS or WINDOW_UPDATE of
   * ours has reached the client; so PINGs that measure the path, which gRPC's clients
   * send for data that they receive, are none too many.
   */
  uint64_t min_recv_ping_interval_without_data_ms; /* 0: 300,000; CAW_NEVER: PINGs may come as
                                                      they like */
  bool keepalive_permit_without_calls; /* the same interval while there is no call; false:
                                          two hours then */
  unsigned max_ping_strikes;           /* PINGs below the interval before that happens; 0: 2 */

  /*
   * Limits of a connection (gRFC A9), milliseconds. What is over is drained: GOAWAY in
   * two steps, so that no call is lost; the debug data is "max_idle" or "max_age".
   */
  uint64_t max_connection_idle_ms;      /* without a call; 0: no limit */
  uint64_t max_connection_age_ms;       /* since it was made, +-10 % at random, so that clients
                                           that came at once do not come again at once; 0: no
                                           limit */
  uint64_t max_connection_age_grace_ms; /* for its calls after the last GOAWAY, which then
                                           end with UNAVAILABLE; 0: no limit */

  const caw_limits *limits; /* of each connection (caw/limits.h), copied; NULL: the defaults */
  /* What counts the server's calls (caw/metrics.h); the server keeps a reference; NULL:
   * nobody counts. */
  caw_metrics *metrics;
  /* Where the server and its connections can be looked at (caw/channelz.h); the server keeps
   * a reference; NULL: nowhere. */
  caw_channelz *channelz;
} caw_server_options;

/*
 * How a method is served; generated code fills it. The functions get the
 * `impl` and `self` of caw_server_add.
 */
typedef struct caw_handler {
  const caw_method *method;
  /*
   * Kinds with one request: called when it has come. Kinds with many: called
   * with each. `request` is borrowed until on_done (one) or until the function
   * returns (many). `reply` is a zeroed reply in the call's arena for UNARY,
   * else NULL. Returns, for one request: 0 (the reply is sent, or the stream
   * ends, with OK), a status, CAW_PENDING. For many: 0 to go on, or a status.
   */
  int (*message)(caw_call *call, const void *request, void *reply, const void *impl, void *self);
  /* Kinds with many requests: called first, before any message; may be NULL.
   * Returns 0 to go on, a status, or CAW_PENDING: to go on, and the call waits
   * for somebody to finish it, also when it is cancelled. */
  int (*open)(caw_call *call, const void *impl, void *self);
  /* Kinds with many requests: the client has sent its last. `reply` is for
   * CLIENT_STREAM. Returns 0 (the call ends with OK), a status, CAW_PENDING. */
  int (*end)(caw_call *call, void *reply, const void *impl, void *self);
} caw_handler;

/* Makes a server in *out; `options` may be NULL. Returns 0, CAW_EINVAL,
 * CAW_ENOMEM, CAW_ELIMIT. Since 0.1. */
CAW_API int caw_server_new(caw_server **out, const caw_server_options *options);

/*
 * Frees the server: after caw_server_run has returned, or, on the program's
 * loop, after or in on_drained. Earlier than that it ends everything at once:
 * connections are closed, handlers are told by on_cancel, blocking ones are
 * waited for; of a drain under way on_drained is not told any more. NULL is fine. A handler that
 * has returned CAW_PENDING and does not finish its call, not even then, or an interceptor that
 * owes its decision (caw_call_decide), keeps the server's memory:
 * on the program's loop until it does, which then still gives on_done its turn (and on_call none);
 * else, as no loop runs any more, for ever. From no handler; the loop's thread, or, after
 * caw_server_run, any. Since 0.1.
 */
CAW_API void caw_server_free(caw_server *server);

/*
 * Serves `n` methods with these handlers. The array is borrowed for the
 * server's life, as are `impl` and `self`. Before the server starts. Returns
 * 0, CAW_EEXIST (a method is there already: none is added), CAW_EINVAL,
 * CAW_ESTATE, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_server_add(caw_server *server, const caw_handler *handlers, size_t n,
                           const void *impl, void *self);

struct caw_pb_file; /* caw/pb.h */

/*
 * Says in which file a service ("package.Service") is declared, for reflection
 * (caw/reflection.h); generated code does. Both are borrowed for the server's life; of
 * several files the first counts. Before the server starts. Returns 0, CAW_ESTATE,
 * CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_server_describe(caw_server *server, const char *service,
                                const struct caw_pb_file *file);

/*
 * The i-th of the services that were added or described: its name, "package.Service",
 * and its file, NULL when nobody has said it. Returns false past the last. Any thread, once
 * the server has started. Since 0.1.
 */
CAW_API bool caw_server_service(const caw_server *server, size_t i, caw_str *name,
                                const struct caw_pb_file **file);

/*
 * Listens on an address: "127.0.0.1:50051", "[::]:50051" (both IP versions),
 * "localhost:50051" (every address of the name), "unix:PATH",
 * "unix-abstract:NAME"; port 0 lets the system choose; "systemd:" for all sockets that
 * systemd opened for this process, "systemd:NAME" for those of one name
 * (FileDescriptorName=; sd_listen_fds(3)); those stay open as long as the process, for the
 * next server, and are not the program's to close: CAW_ESTATE if it has. A socket of systemd's
 * is listened on once: CAW_EADDRINUSE. Connections are accepted
 * once the loop runs. May be called several times. Returns 0 or an error whose
 * text is in caw_server_error: CAW_EADDR, CAW_EADDRINUSE, CAW_EACCES,
 * CAW_ENOTFOUND, CAW_ELIMIT, CAW_ENOMEM, CAW_ESYS. Before caw_server_run, or on
 * the loop's thread. Since 0.1.
 */
CAW_API int caw_server_listen(caw_server *server, const char *address);

/*
 * The same with TLS for all who connect there; the server keeps a reference to the
 * credentials. One server may listen with and without TLS, on different addresses.
 * Returns as caw_server_listen; also CAW_EINVAL (no credentials). Since 0.1.
 */
CAW_API int caw_server_listen_tls(caw_server *server, const char *address,
                                  caw_server_credentials *credentials);

/*
 * The same on a descriptor that listens already (TCP or Unix stream), which somebody else
 * has opened, with TLS unless `credentials` is NULL. It is the server's from then on, closed when
 * it listens no more; on an error it stays the caller's. A Unix socket's file is left to whoever
 * made it, as are connections that still wait. Returns 0 or an error whose text is in
 * caw_server_error: CAW_EINVAL (no such descriptor), CAW_EADDRINUSE (the server listens on this
 * socket already), CAW_ESTATE, CAW_ELIMIT, CAW_ENOMEM, CAW_ESYS.
 * When and where as caw_server_listen. Since 0.1.
 */
CAW_API int caw_server_listen_fd(caw_server *server, int fd, caw_server_credentials *credentials);

/*
 * Prepares a restart in which no connection is refused and no call lost: this server
 * takes over from one that runs, and later gives to the next. Call it before
 * caw_server_listen, and that before the loop runs.
 *
 * `path` is a Unix socket (0600, for this user and root only) at which the server in
 * charge waits for its successor. Is one there, then its listening sockets come here, and
 * each caw_server_listen finds those that were listened on by the same words, or that
 * have the same address; what this server does not ask for ends with the old one. When
 * this one's loop runs, the old one is told, stops accepting, and drains with its own
 * grace; its caw_server_on_drain functions are called. Until then the old one serves as
 * ever, whatever happens here. Nobody there, or a path that is left over: the server
 * starts as always. From then on it waits at `path` for the next, to which it will give
 * `grace_ms` for its own calls.
 *
 * From this call on there are 60 s until the loop must run: after that the old one may give
 * to the next that comes instead, and this one drains as soon as its loop runs.
 *
 * Waits up to 10 s for a server that is there. *took, if not NULL, says whether there was
 * one. Returns 0 or an error whose text is in caw_server_error: CAW_EADDR (`path` is too
 * long), CAW_EACCES (another user's, or no permission), CAW_EAGAIN (that server is ending
 * or being taken over), CAW_ETIMEDOUT, CAW_EMALFORMED (no server of Caw), CAW_ESTATE
 * (called too late, or twice), CAW_EADDRINUSE, CAW_ELIMIT, CAW_ENOMEM, CAW_ESYS. Since
 * 0.1.
 */
CAW_API int caw_server_handover(caw_server *server, const char *path, uint64_t grace_ms,
                                bool *took);

/* What went wrong in the last caw_server_listen, or in those two, a sentence that names the
 * address; "" when nothing did. Since 0.1. */
CAW_API const char *caw_server_error(const caw_server *server);

/*
 * How often a limit of caw/limits.h was hit since the server was made; 0 for a value that
 * is none. And the bytes that the messages of all connections take now, as
 * caw_limits.server_bytes counts them: each connection's are rounded down to 16 KiB. Any
 * thread. Since 0.1.
 */
CAW_API uint64_t caw_server_limit_hits(const caw_server *server, caw_limit limit);
CAW_API size_t caw_server_message_bytes(const caw_server *server);

/* The i-th bound address as text ("127.0.0.1:41234", "unix:/path"), with the
 * real port, in a form that a channel takes as target; NULL past the last. Valid
 * until caw_server_free. Since 0.1. */
CAW_API const char *caw_server_address(const caw_server *server, size_t i);

/* The loop that accepts: the program's, or the first of caw_server_run, for
 * timers and signals of the program. Since 0.1. */
CAW_API caw_loop *caw_server_loop(const caw_server *server);

/*
 * Runs the server on the calling thread until it is drained or stopped.
 * Returns 0, CAW_ESTATE (it has options.loop, or ran already), CAW_ELIMIT (a
 * thread could not be started), CAW_ETIMEDOUT (drained, but handlers have not
 * finished their calls a second after they were told). Since 0.1.
 */
CAW_API int caw_server_run(caw_server *server);

/*
 * Ends the server gracefully: it stops listening, tells clients to go
 * elsewhere (GOAWAY in two steps, RFC 9113 6.8) and handlers by on_shutdown,
 * lets calls end, and after `grace_ms` milliseconds ends the rest with
 * UNAVAILABLE. caw_server_run returns when all is done; `on_drained`, if not
 * NULL, is called once on the accepting loop's thread. A later call can only
 * shorten the grace, and its on_drained replaces an earlier one. Any thread.
 * Since 0.1.
 */
CAW_API void caw_server_drain(caw_server *server, uint64_t grace_ms, void (*on_drained)(void *user),
                              void *user);

/*
 * Drains the server, as caw_server_drain with this grace, when the process gets the
 * signal `signum` (SIGTERM, SIGINT, ...). May be asked for several signals. The first
 * that comes is the only one: from then on, and when the server is freed, all of them
 * have their default effect again, so that a second SIGTERM ends the process at once.
 * Uses caw_loop_on_signal of the accepting loop. Returns 0, CAW_EINVAL (a signal that
 * cannot be caught), CAW_ESTATE (a drain has begun), CAW_ENOMEM. Before the server
 * starts, or on the accepting loop's thread. Since 0.1.
 */
CAW_API int caw_server_drain_on_signal(caw_server *server, int signum, uint64_t grace_ms);

/*
 * Has `fn(user)` called once, on the accepting loop's thread, when a drain begins: the
 * server listens no more, and clients and handlers are told right afterwards. So what a
 * service sends then (a health service: NOT_SERVING) is before the GOAWAY. Several may
 * be added; they are called in that order, and none may free the server. Returns 0,
 * CAW_EINVAL (no `fn`), CAW_ESTATE (a drain has begun), CAW_ENOMEM. Before the server
 * starts, or on the accepting loop's thread. Since 0.1.
 */
CAW_API int caw_server_on_drain(caw_server *server, void (*fn)(void *user), void *user);

/*
 * Has `fn(user)` called when the server's memory goes, after its last call, for what a
 * service keeps for it; the last that was added first. Returns 0, CAW_EINVAL (no `fn`),
 * CAW_ENOMEM. Before the server starts. Since 0.1.
 */
CAW_API int caw_server_on_free(caw_server *server, void (*fn)(void *user), void *user);

CAW_END_DECLS

#endif
