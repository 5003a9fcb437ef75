/* An interceptor that lets only those in who know the token: "authorization: Bearer TOKEN"
 * (RFC 6750). Health checks need none, as those who make them have none. */
#include "greeter.h"
#include "secret.h"

#include <string.h>

static bool starts_with(caw_str s, const char *start) {
  size_t n = strlen(start);
  return s.len >= n && !memcmp(s.data, start, n);
}

static int on_request(caw_call *call, void *user) {
  const char *token = user;
  caw_str given = {NULL, 0};
  size_t at = 0;
  if (starts_with(caw_call_path(call), "/grpc.health.v1.Health/")) return 0;
  const caw_metadata *metadata = caw_call_metadata(call);
  if (!caw_metadata_find(metadata, "authorization", &at, &given))
    return caw_call_fail(call, CAW_UNAUTHENTICATED,
                         "this server wants a token: send the metadata \"authorization: Bearer "
                         "TOKEN\" (greeter-client --token-file FILE)");
  given = secret_bearer(given);
  if (!given.data)
    return caw_call_fail(call, CAW_UNAUTHENTICATED,
                         "the metadata \"authorization\" must be \"Bearer TOKEN\"");
  if (!secret_equal(caw_str_from(token), given))
    return caw_call_fail(call, CAW_UNAUTHENTICATED, "the token is not valid here");
  return 0;
}

const caw_interceptor token_interceptor = {.size = sizeof(token_interceptor),
                                           .on_request = on_request};
