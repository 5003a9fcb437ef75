/* HTTP's and HTTP/2's codes as gRPC's. */
#include "rpc/wire.h"

#include <caw/status.h>

/* RFC 9113 section 7. This folder knows the numbers; the names of the codes and
 * their meaning for a call are what this file is about. */
typedef struct h2_code {
  const char *name;
  int code;
} h2_code;

static const h2_code h2_codes[] = {
    {"NO_ERROR", CAW_INTERNAL}, /* an OK would have come as trailers */
    {"PROTOCOL_ERROR", CAW_INTERNAL},
    {"INTERNAL_ERROR", CAW_INTERNAL},
    {"FLOW_CONTROL_ERROR", CAW_INTERNAL},
    {"SETTINGS_TIMEOUT", CAW_INTERNAL},
    /* The document has no mapping, because no stream is open that could be
     * told. A peer that sends it for an open one has lost track of it. */
    {"STREAM_CLOSED", CAW_UNKNOWN},
    {"FRAME_SIZE_ERROR", CAW_INTERNAL},
    {"REFUSED_STREAM", CAW_UNAVAILABLE}, /* not processed: safe to try again */
    {"CANCEL", CAW_CANCELLED},
    {"COMPRESSION_ERROR", CAW_INTERNAL},
    {"CONNECT_ERROR", CAW_INTERNAL},
    {"ENHANCE_YOUR_CALM", CAW_RESOURCE_EXHAUSTED},
    {"INADEQUATE_SECURITY", CAW_PERMISSION_DENIED},
    {"HTTP_1_1_REQUIRED", CAW_UNKNOWN}, /* not in the document's table */
};
#define H2_CODES (sizeof(h2_codes) / sizeof(h2_codes[0]))

int rpc_code_from_http(unsigned http_status) {
  switch (http_status) {
  case 400:
    return CAW_INTERNAL;
  case 401:
    return CAW_UNAUTHENTICATED;
  case 403:
    return CAW_PERMISSION_DENIED;
  case 404:
    return CAW_UNIMPLEMENTED;
  case 429:
  case 502:
  case 503:
  case 504:
    return CAW_UNAVAILABLE;
  default:
    return CAW_UNKNOWN;
  }
}

int rpc_code_from_h2(uint32_t code) {
  return code < H2_CODES ? h2_codes[code].code : CAW_UNKNOWN;
}

const char *rpc_h2_code_name(uint32_t code) {
  return code < H2_CODES ? h2_codes[code].name : "unknown error code";
}
