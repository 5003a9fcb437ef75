/*
 * An address where Prometheus gets the text of caw_metrics_text: a small HTTP/1.1 listener for
 * GET and HEAD of /metrics, and for nothing else. A server does not have one unless its program
 * makes one.
 *
 * It runs on a loop of the program's, a server's for instance, and is made so that it cannot hold
 * it up: the text is made in pieces of 16 KiB, one in a turn; 16 connections at once: who
 * comes takes the place of one that has not asked yet or has its answer, and is closed when there
 * is none; 4 KiB for a request and 5 s until it is there; 30 s for the answer; one request a
 * connection. What is no request gets 400, another path 404, another method 405.
 *
 * It asks nobody who he is, and has no TLS: listen on loopback, or where only friends can
 * connect. The names of methods and targets can be read there, and no metadata.
 */
#ifndef CAW_METRICS_HTTP_H
#define CAW_METRICS_HTTP_H

#include <caw/export.h>
#include <caw/loop.h>
#include <caw/metrics.h>

CAW_BEGIN_DECLS

typedef struct caw_metrics_http caw_metrics_http;

/*
 * Listens on `address` ("127.0.0.1:9464", "[::1]:9464", "localhost:0", "unix:PATH"), for
 * `metrics`, to which it keeps a reference. It does not keep the loop running. Returns 0, or an
 * error with a sentence in `why` (cut to `room` bytes; may be NULL when that is 0): CAW_EADDR,
 * CAW_EADDRINUSE, CAW_EACCES, CAW_ENOTFOUND, CAW_ELIMIT, CAW_ENOMEM, CAW_ESYS. The loop's
 * thread, or before it runs. Since 0.1.
 */
CAW_API int caw_metrics_http_new(caw_metrics_http **out, caw_loop *loop, caw_metrics *metrics,
                                 const char *address, char *why, size_t room);

/* Where it listens, "127.0.0.1:41234", with the real port. Until it is freed. Any thread.
 * Since 0.1. */
CAW_API const char *caw_metrics_http_address(const caw_metrics_http *http);

/* Closes it and its connections; before the loop goes. The loop's thread, or after it has run.
 * NULL is fine. Since 0.1. */
CAW_API void caw_metrics_http_free(caw_metrics_http *http);

CAW_END_DECLS

#endif
