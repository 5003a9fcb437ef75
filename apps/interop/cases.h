/* The cases of interop-client: each is a function that makes its calls, checks
 * what came back, and says what was wrong. */
#ifndef APPS_INTEROP_CASES_H
#define APPS_INTEROP_CASES_H

#include <caw/blocking.h>
#include <caw/channel.h>

/* Sizes that the descriptions of the tests name. */
#define LARGE_REQUEST  271828
#define LARGE_RESPONSE 314159

/* What the flags of the soak tests ask for. */
typedef struct soak_settings {
  int iterations, max_failures, threads;
  int acceptable_ms, between_ms;
  int overall_s; /* 0: the acceptable latency of all iterations together */
  int request_size, response_size;
  int interval_s; /* long_lived_channel: between calls */
} soak_settings;

/* One run of a case. */
typedef struct interop {
  const char *name;   /* of the case */
  const char *target; /* of the channel */
  caw_channel_options channel_options;
  caw_call_options options; /* of every call */
  soak_settings soak;
  caw_channel *channel;
  caw_arena *arena; /* replies; lives as long as the run */
} interop;

typedef struct interop_case {
  const char *name;
  bool (*run)(interop *t);
  const char *about;
} interop_case;

/* ---- Helpers (cases.c) ---- */

/* Says what is wrong with the case, and returns false. Any thread. */
bool case_fail(const interop *t, const char *format, ...) CAW_PRINTF(2, 3);

/*
 * Checks the outcome of a call: `rc` is what the blocking face returned, a
 * status or a local error; `status` has the text. `message` is the text that is
 * wanted, or NULL when any will do.
 */
bool case_outcome(const interop *t, const char *what, int rc, const caw_status *status, int code,
                  const char *message);

/* Checks a body: `size` zeros. */
bool case_body(const interop *t, const char *what, caw_str body, int size);

/*
 * Ends a stream and checks its outcome. `rc` is the error that kept the case
 * from going on, or 0; CAW_ECLOSED and CAW_EEND are no errors of their own: the
 * status says why the call ended.
 */
bool case_finish(const interop *t, const char *what, caw_stream *stream, int rc, int code,
                 const char *message);

/* ---- Cases ---- */

/* unary.c */
bool case_empty_unary(interop *t);
bool case_large_unary(interop *t);
bool case_status_code_and_message(interop *t);
bool case_special_status_message(interop *t);
bool case_unimplemented_method(interop *t);
bool case_unimplemented_service(interop *t);
bool case_rst(interop *t);
bool case_goaway(interop *t);

/* streams.c */
bool case_client_streaming(interop *t);
bool case_server_streaming(interop *t);
bool case_ping_pong(interop *t);
bool case_empty_stream(interop *t);
bool case_custom_metadata(interop *t);
bool case_cancel_after_begin(interop *t);
bool case_cancel_after_first_response(interop *t);
bool case_timeout_on_sleeping_server(interop *t);

/* compressed.c */
bool case_client_compressed_unary(interop *t);
bool case_server_compressed_unary(interop *t);
bool case_client_compressed_streaming(interop *t);
bool case_server_compressed_streaming(interop *t);

/* many.c */
bool case_concurrent_large_unary(interop *t);
bool case_max_streams(interop *t);

/* soak.c */
bool case_rpc_soak(interop *t);
bool case_channel_soak(interop *t);
bool case_long_lived_channel(interop *t);

#endif
