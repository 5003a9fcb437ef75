/* Large unary calls, any number of them at once, with the callback face. */
#ifndef APPS_INTEROP_MANY_H
#define APPS_INTEROP_MANY_H

#include "cases.h"

/* How calls went. */
typedef struct many_result {
  int failed;
  char why[256];  /* of the first that failed */
  char peer[128]; /* of the last call */
} many_result;

/*
 * Makes `n` calls at once on `channel`, all with the same request payload, and
 * waits for them. Each has to end with OK and a reply of `response_size` zeros.
 * From any thread but the channel's. Returns 0, or CAW_ENOMEM, and then no call
 * was made.
 */
int many_run(caw_channel *channel, const caw_call_options *options, caw_payload *request, int n,
             int response_size, many_result *result);

/* The request of many_run. Returns as caw_payload_new. */
int many_request(caw_payload **out, int request_size, int response_size);

#endif
