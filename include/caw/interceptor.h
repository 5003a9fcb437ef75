/*
 * Interceptors: code that stands between a program and all calls of a server or
 * a channel. One may see and change metadata, refuse a call, decide later (a
 * token check that asks somebody else), count messages and hear the outcome.
 *
 *   program   caw_server_intercept(server, &log, ...);     the outermost
 *             caw_server_intercept(server, &token, ...);   next
 *
 * Order. Interceptors are asked in the order in which they were added. On the
 * way back (headers, status, done) the last one that was asked comes first.
 * Those behind one that refused a call never hear of it.
 *
 * What a call looks like to one of them:
 *   on_request              the call begins; 0, a status, or CAW_PENDING
 *   on_headers, on_message  in the order of the wire
 *   on_status               the status, and with it the trailers, can be changed; not of
 *                           a server's call that is cut
 *   on_done                 always, once, last: the outcome, also of calls that were cut.
 *                           Logs, counters and traces listen to this one
 *
 * Threads. Every function runs on the loop of the call, never inside a function of
 * Caw that a program has called, and never two of one call at once. Only
 * caw_call_decide may come from elsewhere.
 *
 * While a decision is awaited the call's deadline runs on. A server holds the
 * flow-control window back, so that the client sends no more than that; on a
 * client what is sent waits in the call's send buffer.
 */
#ifndef CAW_INTERCEPTOR_H
#define CAW_INTERCEPTOR_H

#include <caw/call.h>
#include <caw/channel.h>
#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

/* A message of a call, as an interceptor sees it. */
typedef struct caw_message_info {
  bool sent; /* by this side; else received */
  bool compressed;
  size_t size;    /* bytes of the encoded message */
  size_t travels; /* bytes as it is sent or came: less than `size` where compression helps;
                     without gRPC's prefix of 5 */
} caw_message_info;

/*
 * What an interceptor does; any member may be NULL. `user` is that of
 * caw_server_intercept or caw_channel_intercept, and lives until the last on_done. An
 * interceptor neither sends on the call nor finishes it: it says what shall become of it.
 */
typedef struct caw_interceptor {
  size_t size; /* sizeof(caw_interceptor) */

  /*
   * The call begins: on a server its request's metadata are here and no handler
   * has seen it; on a client nothing was sent. Metadata may be changed
   * (caw_call_metadata_add, ..._remove), and a value attached (caw_call_set_value).
   * Returns 0; or a status with which the call ends here, whose text
   * caw_call_fail keeps:
   *     return caw_call_fail(call, CAW_UNAUTHENTICATED, "no token");
   * or CAW_PENDING: somebody calls caw_call_decide later, also when the call is
   * over by then, or its server or channel was freed (see there for what that keeps).
   * A local error (CAW_E*) becomes RESOURCE_EXHAUSTED or INTERNAL,
   * without a text.
   *
   * A server asks for every request that is gRPC, also when it knows no such
   * method: caw_call_method is NULL then. (A caller that may not come in learns
   * nothing of what is inside.)
   */
  int (*on_request)(caw_call *call, void *user);

  /* The call was cancelled, expired, or lost its connection, while the decision of
   * this interceptor is awaited. It is still owed: decide soon. */
  void (*on_cancel)(caw_call *call, void *user);

  /* The response's leading metadata are about to be sent (server) or have come
   * (client), and may be changed. Not called when there are none: the response
   * to a call that fails at once has trailers only. */
  void (*on_headers)(caw_call *call, void *user);

  /* A message, in either direction: on its way out, or just received. */
  void (*on_message)(caw_call *call, const caw_message_info *message, void *user);

  /*
   * The status is at hand, and the trailers that go with it: both may be changed,
   * but an error does not become OK. A text that is set must live until on_done, as
   * what comes from caw_call_arena does. On a server it is called for what handlers and
   * interceptors say, and not for a call that is cut: cancelled, expired, its connection
   * lost, its request broken or too large, the server's grace over. No status can be
   * changed there, and the handler may still be adding to the trailers. On a client it is
   * called for every outcome.
   */
  void (*on_status)(caw_call *call, caw_status *status, void *user);

  /* The end: once, last, for every interceptor whose on_request was due, after
   * the handler's on_done and before the client's. The status is the call's outcome,
   * whatever that was: what on_status made of it, or on a server, where nothing could be
   * sent, CANCELLED (the client has gone, or its connection was lost), DEADLINE_EXCEEDED, or
   * what the client was told of a cut call. An interceptor of a client that has not decided
   * yet may still do so. */
  void (*on_done)(caw_call *call, const caw_status *status, void *user);
} caw_interceptor;

/*
 * Adds an interceptor, which is copied, behind those that are there. Before the
 * server starts. Returns 0, CAW_EINVAL (`size`), CAW_ESTATE, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_server_intercept(caw_server *server, const caw_interceptor *interceptor,
                                 void *user);

/* The same for the calls of a channel, before its first one, when nobody else uses the
 * channel. Since 0.1. */
CAW_API int caw_channel_intercept(caw_channel *channel, const caw_interceptor *interceptor,
                                  void *user);

/*
 * Answers for an interceptor, or for credentials (caw/credentials.h), that returned
 * CAW_PENDING: with 0 the call goes on, with 1 to 16 it ends with that status and `message`
 * (UTF-8, copied, may be NULL), as it does with a local error. What follows happens
 * on the call's loop, never in here. Exactly once for each CAW_PENDING, even when the call was
 * cancelled or is over: its memory waits for this. It may come before
 * on_request has returned CAW_PENDING.
 *
 * Who frees a server first, keeps with the call the memory of the server: on the program's
 * loop until the answer is there, which is followed by on_done; on loops of the server's own,
 * where nothing runs any more, for ever. So answer all that is open when on_cancel comes, and
 * free the server after. A channel's call is over when its channel is freed, and the answer
 * frees what is left of it.
 *
 * Returns 0; CAW_ECLOSED when the call is over and nothing follows: its memory may be
 * gone now; CAW_ESTATE when no answer was awaited. Any thread. Since 0.1.
 */
CAW_API int caw_call_decide(caw_call *call, int code, const char *message);

/* The lists of metadata of a call. */
typedef enum caw_metadata_list {
  CAW_REQUEST_METADATA = 0, /* what the client sends before its messages */
  CAW_RESPONSE_HEADERS = 1, /* what the server sends before its own */
  CAW_RESPONSE_TRAILERS = 2 /* and after them */
} caw_metadata_list;

/* One of a call's lists as it is now, also of what this side sends. Where it may be
 * changed. Since 0.1. */
CAW_API const caw_metadata *caw_call_metadata_of(const caw_call *call, caw_metadata_list which);

/*
 * Adds an entry behind the others, copied; or removes all that have a key. Legal
 * for the request's in on_request, or until the decision that it left open; for the
 * response's headers in on_headers, for its trailers in on_status; on a server for these
 * two in on_request, too. An interceptor that left its decision open may change them on
 * another thread until it decides. Returns 0; CAW_EINVAL (key or value not allowed, see
 * caw/metadata.h); CAW_ESTATE (not now); CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_call_metadata_add(caw_call *call, caw_metadata_list which, caw_str key,
                                  caw_str value);
CAW_API int caw_call_metadata_remove(caw_call *call, caw_metadata_list which, caw_str key);

/*
 * Server: has another method serve the call, "/Service/Method", copied: the path that
 * interceptors further in, the routing and the log see. As caw_call_metadata_add
 * for the request's metadata. Since 0.1.
 */
CAW_API int caw_call_set_path(caw_call *call, caw_str path);

CAW_END_DECLS

#endif
