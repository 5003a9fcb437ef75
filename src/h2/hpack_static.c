/* The static table of hpack_static.h. */
#include "h2/hpack_static.h"

#define KNOWN(name, value, token)                                                                  \
  { CAW_STR(name), CAW_STR(value), token, H2_FIELD_LASTING }
#define OTHER(name)                                                                                \
  { CAW_STR(name), CAW_STR(""), H2_T_NONE, H2_FIELD_LASTING }

/* clang-format off */
const h2_field hpack_static[HPACK_STATIC] = {
    KNOWN(":authority", "", H2_T_AUTHORITY),
    KNOWN(":method", "GET", H2_T_METHOD),
    KNOWN(":method", "POST", H2_T_METHOD),
    KNOWN(":path", "/", H2_T_PATH),
    KNOWN(":path", "/index.html", H2_T_PATH),
    KNOWN(":scheme", "http", H2_T_SCHEME),
    KNOWN(":scheme", "https", H2_T_SCHEME),
    KNOWN(":status", "200", H2_T_STATUS),
    KNOWN(":status", "204", H2_T_STATUS),
    KNOWN(":status", "206", H2_T_STATUS),
    KNOWN(":status", "304", H2_T_STATUS),
    KNOWN(":status", "400", H2_T_STATUS),
    KNOWN(":status", "404", H2_T_STATUS),
    KNOWN(":status", "500", H2_T_STATUS),
    OTHER("accept-charset"),
    KNOWN("accept-encoding", "gzip, deflate", H2_T_ACCEPT_ENCODING),
    OTHER("accept-language"),
    OTHER("accept-ranges"),
    OTHER("accept"),
    OTHER("access-control-allow-origin"),
    OTHER("age"),
    OTHER("allow"),
    KNOWN("authorization", "", H2_T_AUTHORIZATION),
    OTHER("cache-control"),
    OTHER("content-disposition"),
    OTHER("content-encoding"),
    OTHER("content-language"),
    KNOWN("content-length", "", H2_T_CONTENT_LENGTH),
    OTHER("content-location"),
    OTHER("content-range"),
    KNOWN("content-type", "", H2_T_CONTENT_TYPE),
    KNOWN("cookie", "", H2_T_COOKIE),
    KNOWN("date", "", H2_T_DATE),
    OTHER("etag"),
    OTHER("expect"),
    OTHER("expires"),
    OTHER("from"),
    KNOWN("host", "", H2_T_HOST),
    OTHER("if-match"),
    OTHER("if-modified-since"),
    OTHER("if-none-match"),
    OTHER("if-range"),
    OTHER("if-unmodified-since"),
    OTHER("last-modified"),
    OTHER("link"),
    OTHER("location"),
    OTHER("max-forwards"),
    OTHER("proxy-authenticate"),
    KNOWN("proxy-authorization", "", H2_T_PROXY_AUTHORIZATION),
    OTHER("range"),
    OTHER("referer"),
    OTHER("refresh"),
    OTHER("retry-after"),
    KNOWN("server", "", H2_T_SERVER),
    KNOWN("set-cookie", "", H2_T_SET_COOKIE),
    OTHER("strict-transport-security"),
    KNOWN("transfer-encoding", "", H2_T_TRANSFER_ENCODING),
    KNOWN("user-agent", "", H2_T_USER_AGENT),
    OTHER("vary"),
    OTHER("via"),
    OTHER("www-authenticate"),
};
/* clang-format on */

const hpack_known hpack_known_names[H2_TOKENS] = {
    [H2_T_AUTHORITY] = {CAW_STR(":authority"), 1, 0},
    [H2_T_METHOD] = {CAW_STR(":method"), 2, 2},
    [H2_T_PATH] = {CAW_STR(":path"), 4, 2},
    [H2_T_PROTOCOL] = {CAW_STR(":protocol"), 0, 0},
    [H2_T_SCHEME] = {CAW_STR(":scheme"), 6, 2},
    [H2_T_STATUS] = {CAW_STR(":status"), 8, 7},
    [H2_T_ACCEPT_ENCODING] = {CAW_STR("accept-encoding"), 16, 1},
    [H2_T_AUTHORIZATION] = {CAW_STR("authorization"), 23, 0},
    [H2_T_CONNECTION] = {CAW_STR("connection"), 0, 0},
    [H2_T_CONTENT_LENGTH] = {CAW_STR("content-length"), 28, 0},
    [H2_T_CONTENT_TYPE] = {CAW_STR("content-type"), 31, 0},
    [H2_T_COOKIE] = {CAW_STR("cookie"), 32, 0},
    [H2_T_DATE] = {CAW_STR("date"), 33, 0},
    [H2_T_GRPC_ACCEPT_ENCODING] = {CAW_STR("grpc-accept-encoding"), 0, 0},
    [H2_T_GRPC_ENCODING] = {CAW_STR("grpc-encoding"), 0, 0},
    [H2_T_GRPC_MESSAGE] = {CAW_STR("grpc-message"), 0, 0},
    [H2_T_GRPC_STATUS] = {CAW_STR("grpc-status"), 0, 0},
    [H2_T_GRPC_STATUS_DETAILS_BIN] = {CAW_STR("grpc-status-details-bin"), 0, 0},
    [H2_T_GRPC_TIMEOUT] = {CAW_STR("grpc-timeout"), 0, 0},
    [H2_T_HOST] = {CAW_STR("host"), 38, 0},
    [H2_T_KEEP_ALIVE] = {CAW_STR("keep-alive"), 0, 0},
    [H2_T_PROXY_AUTHORIZATION] = {CAW_STR("proxy-authorization"), 49, 0},
    [H2_T_PROXY_CONNECTION] = {CAW_STR("proxy-connection"), 0, 0},
    [H2_T_SERVER] = {CAW_STR("server"), 54, 0},
    [H2_T_SET_COOKIE] = {CAW_STR("set-cookie"), 55, 0},
    [H2_T_TE] = {CAW_STR("te"), 0, 0},
    [H2_T_TRANSFER_ENCODING] = {CAW_STR("transfer-encoding"), 57, 0},
    [H2_T_UPGRADE] = {CAW_STR("upgrade"), 0, 0},
    [H2_T_USER_AGENT] = {CAW_STR("user-agent"), 58, 0},
};

#define NAMES_OF_A_LENGTH 5

/* The others by length: no length has more than five of them. */
static const uint8_t by_length[][NAMES_OF_A_LENGTH] = {
    [3] = {21, 60},
    [4] = {34, 37, 45, 59},
    [5] = {22, 50},
    [6] = {19, 35},
    [7] = {36, 51, 52},
    [8] = {39, 42, 46},
    [11] = {53},
    [12] = {47},
    [13] = {18, 24, 30, 41, 44},
    [14] = {15},
    [15] = {17},
    [16] = {26, 27, 29, 61},
    [17] = {40},
    [18] = {48},
    [19] = {25, 43},
    [25] = {56},
    [27] = {20},
};

size_t hpack_static_name(caw_str name) {
  if (name.len >= sizeof(by_length) / sizeof(by_length[0])) return 0;
  const uint8_t *index = by_length[name.len];
  for (size_t i = 0; i < NAMES_OF_A_LENGTH && index[i]; i++) {
    const char *known = hpack_static[index[i] - 1].name.data;
    if (known[0] == name.data[0] && memcmp(known, name.data, name.len) == 0) return index[i];
  }
  return 0;
}
