/*
 * The blocking face: client calls that wait, and server handlers that may
 * block because they run on a pool of threads. It is built on the callback
 * face only.
 *
 * Client functions may be called from any thread but the loop's own
 * (CAW_ETHREAD); the channel's loop must be running, which it always is for a
 * channel with a thread of its own.
 */
#ifndef CAW_BLOCKING_H
#define CAW_BLOCKING_H

#include <caw/channel.h>
#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

/* The messages of one call, read and written in turn. One thread may read
 * while another writes. */
typedef struct caw_stream caw_stream;

/*
 * Waits until the channel is ready. Returns 0; CAW_ETIMEDOUT after
 * `timeout_ms` (0: without limit), caw_channel_error says what kept it;
 * CAW_ECLOSED; CAW_ETHREAD; CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_channel_wait_ready(caw_channel *channel, uint64_t timeout_ms);

/*
 * Makes a call with one request and one reply and waits for its end. The reply
 * is decoded into `*reply`, what it points to into `arena`; so are the text and
 * details of `*status` (which may be NULL; empty when there was no call). Returns the status's
 * code, 0 to 16, or, without a call, CAW_ENOMEM, CAW_EINVAL, CAW_ETHREAD or the codec's error.
 * Since 0.1.
 */
CAW_API int caw_call_unary(caw_channel *channel, const caw_method *method, const void *request,
                           void *reply, caw_arena *arena, const caw_call_options *options,
                           caw_status *status);

/* Starts a call of any kind in *out; ended by caw_stream_finish. Returns 0,
 * CAW_ENOMEM, CAW_EINVAL, CAW_ETHREAD, CAW_ECLOSED. Since 0.1. */
CAW_API int caw_stream_open(caw_stream **out, caw_channel *channel, const caw_method *method,
                            const caw_call_options *options);

/* The same for kinds with one request: sends it and half-closes. Since 0.1. */
CAW_API int caw_stream_open_with(caw_stream **out, caw_channel *channel, const caw_method *method,
                                 const void *request, const caw_call_options *options);

/*
 * Sends a message, waiting while the queue is full. Returns 0, CAW_ECLOSED
 * (the call is over: finish to learn why), CAW_ESTATE (after
 * caw_stream_close_send), CAW_ENOMEM or the codec's error. Since 0.1.
 */
CAW_API int caw_stream_write(caw_stream *stream, const void *message);

/*
 * Waits for the next message and decodes it into `*message`, with what it
 * points to in `arena`. Returns 0; CAW_EEND (no more messages: on a client the
 * call is over, on a server the client has half-closed); CAW_ECLOSED (server:
 * the call was cancelled); CAW_ENOMEM, or the codec's error. Since 0.1.
 */
CAW_API int caw_stream_read(caw_stream *stream, void *message, caw_arena *arena);

/* Client: no more requests follow. Returns as caw_call_close_send. Since 0.1. */
CAW_API int caw_stream_close_send(caw_stream *stream);

/* The call, for its metadata, deadline and cancellation. Valid as long as the
 * stream. caw_call_metadata and caw_call_trailers may be used from this thread
 * once caw_stream_read has returned a message or the end. Since 0.1. */
CAW_API caw_call *caw_stream_call(caw_stream *stream);

/*
 * Client: half-closes, drops replies that nobody read, waits for the end, and
 * frees the stream. To end a call early, cancel it first
 * (caw_call_cancel(caw_stream_call(s))). `status` may be NULL; its text and
 * details are copied into `arena` (NULL: they are dropped). Returns the code, 0 to 16. NULL is
 * fine. Since 0.1.
 */
CAW_API int caw_stream_finish(caw_stream *stream, caw_arena *arena, caw_status *status);

/*
 * How a method is served on the pool; generated code fills it. The function
 * may block. When the server drains, caw_call_draining tells so, to be asked now
 * and then; a read that waits is ended only by the cancellation after the grace.
 * `request` is there for kinds with one request, `reply` (zeroed,
 * in the call's arena) for kinds with one reply. It returns 0 (the reply is
 * sent, or the stream ends, with OK) or a status; never CAW_PENDING.
 */
typedef struct caw_blocking_handler {
  const caw_method *method;
  int (*run)(caw_stream *stream, const void *request, void *reply, const void *impl, void *self);
} caw_blocking_handler;

/* Serves `n` methods with blocking handlers; as caw_server_add. Since 0.1. */
CAW_API int caw_server_add_blocking(caw_server *server, const caw_blocking_handler *handlers,
                                    size_t n, const void *impl, void *self);

CAW_END_DECLS

#endif
