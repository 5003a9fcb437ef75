/*
 * caw_call: one call, seen from the server or from the client. Calls are made
 * by the server for each request, and by caw_call_start (caw/channel.h).
 *
 * Threads. A call belongs to its loop's thread, and every callback runs there.
 * Functions marked "any thread" may be called elsewhere as long as the caller
 * knows that the call lives: a server handler that returned CAW_PENDING knows
 * it until it finishes the call; anybody else holds a reference
 * (caw_call_ref).
 *
 * Order. Callbacks of a call never overlap and never run inside a function of
 * Caw that asked for them. on_done comes exactly once and last. On a server it
 * comes only when the handler has finished the call too.
 *
 * Sending. Messages are encoded at once, so they may live on the stack. A call
 * queues messages until its send buffer (64 KiB unless set) is full; the last
 * one may go beyond it, so an empty queue takes any message. While it is full,
 * sending returns CAW_EAGAIN and takes nothing. Each time it was full, on_drain
 * comes when it is half empty.
 */
#ifndef CAW_CALL_H
#define CAW_CALL_H

#include <stdint.h>

#include <caw/arena.h>
#include <caw/codec.h>
#include <caw/compression.h>
#include <caw/export.h>
#include <caw/loop.h>
#include <caw/metadata.h>
#include <caw/payload.h>
#include <caw/status.h>

CAW_BEGIN_DECLS

typedef struct caw_call caw_call;

/* How many messages each side sends. */
typedef enum caw_call_kind {
  CAW_UNARY = 0,         /* one request, one reply */
  CAW_SERVER_STREAM = 1, /* one request, many replies */
  CAW_CLIENT_STREAM = 2, /* many requests, one reply */
  CAW_BIDI = 3           /* many of both, independently */
} caw_call_kind;

/* A method of a service, as generated code describes it. Lives for ever. */
typedef struct caw_method {
  const char *path; /* "/greeter.Greeter/SayHello" */
  caw_call_kind kind;
  const caw_type *request, *response;
} caw_method;

/* Any function, for generated code that adapts typed callbacks; cast back to
 * its own type before it is called. */
typedef void (*caw_fn)(void);

/* Adds a reference: the call object, its metadata and its arena stay until
 * caw_call_unref. It keeps the memory, not the call, alive. Any thread.
 * Since 0.1. */
CAW_API caw_call *caw_call_ref(caw_call *call);
CAW_API void caw_call_unref(caw_call *call);

/* The method. For a call to a method that the server does not know there is
 * no handler, so a handler always gets one; an interceptor may see NULL. Any
 * thread. Since 0.1. */
CAW_API const caw_method *caw_call_method(const caw_call *call);

/* The method's path, "/Service/Method": on a server as the client sent it. Any
 * thread. Since 0.1. */
CAW_API caw_str caw_call_path(const caw_call *call);

/* Client: the server's call on whose behalf this one is made
 * (caw_call_options.parent), or NULL; until on_done. Since 0.1. */
CAW_API caw_call *caw_call_parent(const caw_call *call);

/* The other end: "ipv4:127.0.0.1:5000", "ipv6:[::1]:5000", "unix:/path"; empty
 * on a client before the call has a connection. Loop's thread, or a pending
 * handler. Since 0.1. */
CAW_API caw_str caw_call_peer(const caw_call *call);

/* The :authority of the request. As caw_call_peer. Since 0.1. */
CAW_API caw_str caw_call_authority(const caw_call *call);

/* The loop whose thread the call belongs to. Any thread. Since 0.1. */
CAW_API caw_loop *caw_call_loop(const caw_call *call);

/*
 * The call's arena, for whatever should live as long as the call: it is freed
 * after on_done. One thread at a time: the handler's, or the loop's while a
 * callback runs. Since 0.1.
 */
CAW_API caw_arena *caw_call_arena(caw_call *call);

/* A pointer of the program's own, NULL at first. On a client this is the
 * `user` of caw_call_start. Since 0.1. */
CAW_API void caw_call_set_data(caw_call *call, void *data);
CAW_API void *caw_call_data(const caw_call *call);

/*
 * Values that a call carries, for interceptors that know something which handlers
 * want to know (who calls), each under a key: the address of a caw_key that the two share.
 */
typedef struct caw_key {
  const char *name;             /* for people */
  void (*destroy)(void *value); /* called when the call's memory goes, on any thread; or NULL */
} caw_key;

/*
 * Sets the value of a key; one that was there is destroyed. The call takes the value over
 * unless this fails: with CAW_ENOMEM. The value is destroyed with the call, after on_done.
 * As caw_call_arena. Since 0.1.
 */
CAW_API int caw_call_set_value(caw_call *call, const caw_key *key, void *value);

/* The value of a key, or NULL. As caw_call_arena. Since 0.1. */
CAW_API void *caw_call_value(const caw_call *call, const caw_key *key);

/*
 * When the call expires, in nanoseconds on caw_loop_now's scale, which is the
 * same for all loops of a process; UINT64_MAX when it has no deadline. Any
 * thread. Since 0.1.
 */
CAW_API uint64_t caw_call_deadline(const caw_call *call);

/* The time left until the deadline, in nanoseconds from this moment; 0 when it
 * is over, UINT64_MAX without one. Any thread. Since 0.1. */
CAW_API uint64_t caw_call_time_left(const caw_call *call);

/* Server: does the server shut down? A handler that works long, and blocking
 * ones above all, asks now and then, and ends by itself. Any thread. Since 0.1. */
CAW_API bool caw_call_draining(const caw_call *call);

/* Has the call been cancelled, expired, or lost its connection? A handler
 * that works long asks now and then. Any thread. Since 0.1. */
CAW_API bool caw_call_cancelled(const caw_call *call);

/*
 * Sends a message of the method's type: the request on a client, the reply on
 * a server. Encoded at once. Returns 0; CAW_EAGAIN (queue full, on_drain will
 * come); CAW_ESTATE (this side has finished already, or sends its only
 * message twice); CAW_ECLOSED (the call was cancelled, or the peer has ended
 * it: on_done tells why); CAW_ENOMEM;
 * or the codec's error. Any thread. Since 0.1.
 */
CAW_API int caw_call_send(caw_call *call, const void *message);

/* The same with an encoded message; takes a reference of its own. Any thread.
 * Since 0.1. */
CAW_API int caw_call_send_payload(caw_call *call, caw_payload *payload);

/*
 * Has the messages that are sent from now on compressed with the call's
 * encoding (true, as at first), or sent as they are. Nothing changes for a call
 * without an encoding. Any thread. Since 0.1.
 */
CAW_API void caw_call_compress(caw_call *call, bool on);

/* Did the message that is being delivered come compressed? In the callback or
 * handler that gets it, on the loop's thread. Since 0.1. */
CAW_API bool caw_call_was_compressed(const caw_call *call);

/* The bytes that were sent and wait for the peer's window or the socket. Any
 * thread. Since 0.1. */
CAW_API size_t caw_call_queued(const caw_call *call);

/* Sets how many bytes this call may queue before CAW_EAGAIN, in place of the server's
 * or channel's. With 1 there is one message in the queue at most, and on_drain comes when
 * it is on its way. Loop's thread, while no other thread sends on the call. Since 0.1. */
CAW_API void caw_call_set_send_buffer(caw_call *call, size_t bytes);

/* Is the queue full: would the next message be refused? Then on_drain will
 * come. A handler that answers each message with one pauses the call here and
 * resumes it in on_drain. Any thread. Since 0.1. */
CAW_API bool caw_call_full(caw_call *call);

/*
 * Stops the delivery of messages, and starts it again. While paused no window
 * is given back, so the peer stops after a bounded number of bytes. Messages
 * of a call that ends while paused are delivered after caw_call_resume, before
 * on_done on a client; a server's handler that does not want them may finish.
 * Loop's thread. Since 0.1.
 */
CAW_API void caw_call_pause(caw_call *call);
CAW_API void caw_call_resume(caw_call *call);

/* Metadata that the peer sent before its messages: on a server the request's,
 * on a client the response's (empty until on_metadata). Loop's thread or a
 * pending handler. Since 0.1. */
CAW_API const caw_metadata *caw_call_metadata(const caw_call *call);

/* ---- Client only ---- */

/* Says that no more requests follow (half-close); queued ones are sent first.
 * Returns 0, CAW_ESTATE, CAW_ECLOSED. Any thread. Since 0.1. */
CAW_API int caw_call_close_send(caw_call *call);

/* Cancels: on_done comes with CAW_CANCELLED unless the call is over already.
 * Never fails. Any thread. Since 0.1. */
CAW_API void caw_call_cancel(caw_call *call);

/* The trailing metadata, in on_done. Loop's thread. Since 0.1. */
CAW_API const caw_metadata *caw_call_trailers(const caw_call *call);

/* The `typed` of the caw_client_events, for generated adapters. Since 0.1. */
CAW_API caw_fn caw_call_typed(const caw_call *call);

/* ---- Server only ---- */

/* What a handler may want to hear besides its messages. */
typedef struct caw_call_events {
  /* The call was cancelled, expired, or lost its connection. Finish soon: the
   * call's memory waits for it. */
  void (*on_cancel)(caw_call *call, void *user);
  /* The queue was full and is half empty now. */
  void (*on_drain)(caw_call *call, void *user);
  /* The server shuts down: end the call by yourself if you can, before its
   * grace is over. */
  void (*on_shutdown)(caw_call *call, void *user);
  /* The last event. `status` is what the peer was told, or why it could not
   * be. */
  void (*on_done)(caw_call *call, const caw_status *status, void *user);
} caw_call_events;

/*
 * Sets the events of a server's call; `events` is copied, members may be NULL.
 * For a handler, before it returns. An event that has happened already (a
 * cancellation) is told at the next turn. Loop's thread. Since 0.1.
 */
CAW_API void caw_call_on(caw_call *call, const caw_call_events *events, void *user);

/*
 * Adds an entry to the metadata that goes before the replies, or to that which
 * goes after them. Copied. Returns 0; CAW_EINVAL (key or value not allowed,
 * see caw/metadata.h); CAW_ESTATE (sent already); CAW_ENOMEM. The handler's
 * thread. Since 0.1.
 */
CAW_API int caw_call_add_header(caw_call *call, caw_str key, caw_str value);
CAW_API int caw_call_add_trailer(caw_call *call, caw_str key, caw_str value);

/*
 * Sets the encoding of this call's replies, in place of the server's; when the
 * client does not accept it, they are not compressed (compression.md). Returns
 * 0; CAW_EINVAL (this build does not know it); CAW_ESTATE (the headers were sent
 * already). The handler's thread. Since 0.1.
 */
CAW_API int caw_call_set_encoding(caw_call *call, caw_encoding encoding);

/* Sends the headers now rather than with the first reply. Returns 0,
 * CAW_ESTATE, CAW_ECLOSED, CAW_ENOMEM. Any thread. Since 0.1. */
CAW_API int caw_call_send_headers(caw_call *call);

/*
 * Finishes the call: queued replies are sent, then the status. `code` is 0 to
 * 16 (a CAW_E* becomes RESOURCE_EXHAUSTED when memory is out, else INTERNAL,
 * without a text); `message` is UTF-8, copied, NULL for none. Exactly once for
 * a handler that returned CAW_PENDING; instead of a return value otherwise.
 * After a cancellation it is legal and sends nothing. Returns 0, or CAW_ESTATE
 * when the call is finished already. Any thread. Since 0.1.
 */
CAW_API int caw_call_finish(caw_call *call, int code, const char *message);

/* Sends the one reply and finishes with OK. When the reply cannot be encoded
 * the call ends with INTERNAL. Returns as caw_call_send and caw_call_finish.
 * Any thread. Since 0.1. */
CAW_API int caw_call_reply(caw_call *call, const void *message);

/*
 * Keeps the details of the status with which the call will fail: a serialized
 * google.rpc.Status (caw/details.h makes one), copied. They are sent with any
 * status but OK, which has none. Returns 0, CAW_ESTATE (finished already),
 * CAW_ENOMEM. The handler's thread. Since 0.1.
 */
CAW_API int caw_call_set_details(caw_call *call, caw_str google_rpc_status);

/*
 * Keeps a text for the status of a handler that is about to return, and
 * returns `code`:  return caw_call_fail(call, CAW_NOT_FOUND, "no room %s", r);
 * The same for an interceptor's on_request, on a client too. The handler's thread.
 * Since 0.1.
 */
CAW_API int caw_call_fail(caw_call *call, int code, const char *format, ...) CAW_PRINTF(3, 4);

CAW_END_DECLS

#endif
