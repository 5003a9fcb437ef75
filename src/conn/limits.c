/* The options of limits.h, and who hears of them. */
#include "conn/limits.h"

#include "conn/conn.h"

#include <string.h>

#define MILLI UINT64_C(1000000)
#define MIB   ((size_t)1 << 20)

/* The defaults. The reasons are in docs/guide/limits.md. */
#define RESETS_AT_ONCE    200
#define RESETS_PER_SECOND 100
#define NOISE_AT_ONCE     20000
#define NOISE_PER_SECOND  10000
#define UNREAD_REPLIES    1000
#define CONNECTION_BYTES  (64 * MIB)
#define SERVER_BYTES      (1024 * MIB)
#define HANDSHAKE_MS      UINT64_C(10000)
#define SETTINGS_ACK_MS   UINT64_C(10000)
#define HEADER_BLOCK_MS   UINT64_C(10000)
#define WRITE_MS          UINT64_C(30000)

/* As src/h2 has them. */
#define STREAM_WINDOW ((size_t)256 * 1024)
#define WINDOW_GROWTH (16 * MIB)

#define STREAMS           100                 /* of a client: what servers permit */
#define LEAST_WINDOW      ((size_t)1024)      /* else a message took a hundred round trips */
#define LEAST_BYTES       MIB                 /* else one message of the usual size was too much */
#define MOST_HEADER_BYTES (UINT32_C(1) << 30) /* sums of it do not overflow */

const conn_limits default_limits = {.resets_at_once = RESETS_AT_ONCE,
                                    .resets_per_second = RESETS_PER_SECOND,
                                    .noise_at_once = NOISE_AT_ONCE,
                                    .noise_per_second = NOISE_PER_SECOND,
                                    .unread_replies = UNREAD_REPLIES,
                                    .connection_bytes = CONNECTION_BYTES,
                                    .server_bytes = SERVER_BYTES,
                                    .handshake = HANDSHAKE_MS * MILLI,
                                    .settings_ack = SETTINGS_ACK_MS * MILLI,
                                    .header_block = HEADER_BLOCK_MS * MILLI,
                                    .write = WRITE_MS * MILLI};

static void set_count(uint32_t *to, uint32_t from) {
  if (from) *to = from;
}

static void set_time(uint64_t *to, uint64_t ms) {
  if (ms) *to = ms < UINT64_MAX / MILLI ? ms * MILLI : UINT64_MAX;
}

static void set_bytes(size_t *to, size_t from) {
  if (from) *to = from < LEAST_BYTES ? LEAST_BYTES : from;
}

static uint32_t up_to(uint64_t most, uint64_t value) {
  return (uint32_t)(value < most ? value : most);
}

/*
 * Windows that are open at once shall not let more come than the memory for it: a quarter
 * is what comes without hindrance, windows of all streams have four tenths, and what they
 * grow another quarter; the rest is a message's.
 */
static void set_windows(h2_config *h2, size_t quota, uint32_t max_streams) {
  size_t each = quota / 5 * 2 / (max_streams ? max_streams : STREAMS);
  if (each < LEAST_WINDOW) each = LEAST_WINDOW;
  if (each < STREAM_WINDOW) h2->stream_window = (uint32_t)each;
  if (quota / 4 < WINDOW_GROWTH) h2->window_growth = (uint32_t)(quota / 4);
}

static void set_session(h2_config *h2, const caw_limits *from, uint32_t replies,
                        uint32_t max_streams) {
  h2->hard_header_bytes = up_to(MOST_HEADER_BYTES, from->header_block_bytes);
  h2->hard_header_fields = from->header_block_fields;
  h2->soft_header_bytes = up_to(MOST_HEADER_BYTES, from->header_bytes);
  h2->soft_header_fields = from->header_fields;
  h2->max_induced = up_to(UINT32_MAX, 2 * (replies + 4 * (uint64_t)max_streams));
}

void limits_read(conn_limits *to, h2_config *h2, const caw_limits *options, uint32_t max_streams) {
  caw_limits from = {0};
  /* A program that was compiled against an older header has a shorter struct. */
  if (options) memcpy(&from, options, options->size < sizeof(from) ? options->size : sizeof(from));
  *to = default_limits;
  set_count(&to->resets_at_once, from.resets_at_once);
  set_count(&to->resets_per_second, from.resets_per_second);
  set_count(&to->noise_at_once, from.noise_at_once);
  set_count(&to->noise_per_second, from.noise_per_second);
  set_count(&to->unread_replies, from.unread_replies);
  set_bytes(&to->connection_bytes, from.connection_bytes);
  set_bytes(&to->server_bytes, from.server_bytes);
  set_time(&to->handshake, from.handshake_ms);
  set_time(&to->settings_ack, from.settings_ack_ms);
  set_time(&to->header_block, from.header_block_ms);
  set_time(&to->write, from.write_ms);
  to->on_hit = from.on_hit;
  to->user = from.user;
  set_session(h2, &from, to->unread_replies, max_streams);
  set_windows(h2, to->connection_bytes, max_streams);
}

void limit_hit(const conn *c, caw_limit limit) {
  if (c->config->tally)
    atomic_fetch_add_explicit(&c->config->tally->hits[limit], 1, memory_order_relaxed);
  const conn_limits *l = conn_limits_of(c);
  if (l->on_hit) l->on_hit(limit, caw_str_from(conn_peer(c)), l->user);
}

void limit_hit_by_session(const conn *c) {
  static const caw_limit limits[] = {[H2_LIMIT_NOISE] = CAW_LIMIT_NOISE,
                                     [H2_LIMIT_RESETS] = CAW_LIMIT_RESETS,
                                     [H2_LIMIT_HEADERS] = CAW_LIMIT_HEADER_BLOCK,
                                     [H2_LIMIT_INDUCED] = CAW_LIMIT_UNREAD_REPLIES};
  h2_limit limit = h2_exceeded(c->rpc.h2);
  if (limit != H2_LIMIT_NONE) limit_hit(c, limits[limit]);
}

const char *caw_limit_name(caw_limit limit) {
  static const char *const names[CAW_LIMITS] = {
      "none",         "resets",           "noise",        "unread-replies", "headers",
      "header-block", "connection-bytes", "server-bytes", "handshake-time", "settings-time",
      "header-time",  "write-time",       "pings"};
  return (unsigned)limit < CAW_LIMITS ? names[limit] : "unknown";
}
