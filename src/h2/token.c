/* Which names are known: h2_token_of of h2.h. */
#include "h2/h2.h"

#define NAMES_OF_A_LENGTH 4

typedef struct known {
  caw_str name;
  h2_token token;
} known;

/* By length: the longest known name has 23 bytes, and no length has more than
 * four of them. */
static const known by_length[][NAMES_OF_A_LENGTH] = {
    [2] = {{CAW_STR("te"), H2_T_TE}},
    [4] = {{CAW_STR("host"), H2_T_HOST}, {CAW_STR("date"), H2_T_DATE}},
    [5] = {{CAW_STR(":path"), H2_T_PATH}},
    [6] = {{CAW_STR("cookie"), H2_T_COOKIE}, {CAW_STR("server"), H2_T_SERVER}},
    [7] = {{CAW_STR(":method"), H2_T_METHOD},
           {CAW_STR(":scheme"), H2_T_SCHEME},
           {CAW_STR(":status"), H2_T_STATUS},
           {CAW_STR("upgrade"), H2_T_UPGRADE}},
    [9] = {{CAW_STR(":protocol"), H2_T_PROTOCOL}},
    [10] = {{CAW_STR(":authority"), H2_T_AUTHORITY},
            {CAW_STR("user-agent"), H2_T_USER_AGENT},
            {CAW_STR("connection"), H2_T_CONNECTION},
            {CAW_STR("set-cookie"), H2_T_SET_COOKIE}},
    [11] = {{CAW_STR("grpc-status"), H2_T_GRPC_STATUS}},
    [12] = {{CAW_STR("content-type"), H2_T_CONTENT_TYPE},
            {CAW_STR("grpc-timeout"), H2_T_GRPC_TIMEOUT},
            {CAW_STR("grpc-message"), H2_T_GRPC_MESSAGE}},
    [13] = {{CAW_STR("grpc-encoding"), H2_T_GRPC_ENCODING},
            {CAW_STR("authorization"), H2_T_AUTHORIZATION}},
    [14] = {{CAW_STR("content-length"), H2_T_CONTENT_LENGTH}},
    [15] = {{CAW_STR("accept-encoding"), H2_T_ACCEPT_ENCODING}},
    [16] = {{CAW_STR("proxy-connection"), H2_T_PROXY_CONNECTION}},
    [17] = {{CAW_STR("transfer-encoding"), H2_T_TRANSFER_ENCODING}},
    [19] = {{CAW_STR("proxy-authorization"), H2_T_PROXY_AUTHORIZATION}},
    [20] = {{CAW_STR("grpc-accept-encoding"), H2_T_GRPC_ACCEPT_ENCODING}},
    [23] = {{CAW_STR("grpc-status-details-bin"), H2_T_GRPC_STATUS_DETAILS_BIN}},
};

static const known keep_alive = {CAW_STR("keep-alive"), H2_T_KEEP_ALIVE};

h2_token h2_token_of(caw_str name) {
  if (name.len >= sizeof(by_length) / sizeof(by_length[0])) return H2_T_NONE;
  const known *k = by_length[name.len];
  for (size_t i = 0; i < NAMES_OF_A_LENGTH && k[i].name.len; i++)
    if (*name.data == *k[i].name.data && caw_str_eq(name, k[i].name)) return k[i].token;
  /* The fifth of its length, and none that anybody sends. */
  return caw_str_eq(name, keep_alive.name) ? keep_alive.token : H2_T_NONE;
}
