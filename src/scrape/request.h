/* The head of an HTTP/1.1 request (RFC 9112), as far as an endpoint for one page needs it. Pure:
 * bytes in, a verdict out. Private to src/scrape. */
#ifndef SCRAPE_REQUEST_H
#define SCRAPE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct request {
  int status; /* 200: GET or HEAD of /metrics; 400, 404, 405 */
  bool head;  /* HEAD: no body goes back */
  bool old;   /* HTTP/1.0: no chunks */
} request;

/* Where the head ends: the bytes with its empty line, 0 when that is not there yet. */
size_t request_length(const char *data, size_t len);

/* Reads a head of request_length bytes. */
void request_read(request *out, const char *data, size_t len);

#endif
