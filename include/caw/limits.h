/*
 * Limits that keep one hostile or broken peer from hurting the others: what a
 * connection may cost in work, memory and time. All of them are on by default, on
 * servers and on channels; each can be changed, and none is hit by what an honest
 * peer does (docs/guide/limits.md says for each why it is as it is). What counts for
 * calls alone (max_streams, max_receive, pool_queue) and keepalive are among the options of
 * caw_server and caw_channel.
 */
#ifndef CAW_LIMITS_H
#define CAW_LIMITS_H

#include <caw/export.h>
#include <caw/str.h>
#include <stddef.h>
#include <stdint.h>

CAW_BEGIN_DECLS

/* Which limit was hit. */
typedef enum caw_limit {
  CAW_LIMIT_NONE = 0,
  CAW_LIMIT_RESETS = 1,           /* the connection ended: resets_* */
  CAW_LIMIT_NOISE = 2,            /* the connection ended: noise_* */
  CAW_LIMIT_UNREAD_REPLIES = 3,   /* the connection ended: unread_replies */
  CAW_LIMIT_HEADERS = 4,          /* a call was refused: header_bytes, header_fields */
  CAW_LIMIT_HEADER_BLOCK = 5,     /* the connection ended: header_block_* */
  CAW_LIMIT_CONNECTION_BYTES = 6, /* a call was refused: connection_bytes */
  CAW_LIMIT_SERVER_BYTES = 7,     /* a call was refused: server_bytes */
  CAW_LIMIT_HANDSHAKE_TIME = 8,   /* the connection ended: handshake_ms */
  CAW_LIMIT_SETTINGS_TIME = 9,    /* the connection ended: settings_ack_ms */
  CAW_LIMIT_HEADER_TIME = 10,     /* the connection ended: header_block_ms */
  CAW_LIMIT_WRITE_TIME = 11,      /* the connection ended: write_ms */
  CAW_LIMIT_PINGS = 12,           /* the connection ended: max_ping_strikes of the server */
  CAW_LIMITS = 13                 /* how many values there are */
} caw_limit;

/*
 * The zero value of each member is the default, which is in the comment. Counts and
 * sizes are switched off with their type's largest value, times (milliseconds) with
 * CAW_NEVER.
 */
typedef struct caw_limits {
  size_t size; /* sizeof(caw_limits) */

  /*
   * Streams that end early by the peer's doing: resets that it sends, and resets that
   * we have to send since it breaks a rule. So many at once, so many more each second, and
   * one for each call that a handler brought to its end; then the connection ends. Servers only:
   * what a client begins, it begins itself. (Rapid reset, CVE-2023-44487; MadeYouReset,
   * CVE-2025-8671.)
   */
  uint32_t resets_at_once;    /* 200 */
  uint32_t resets_per_second; /* 100 */

  /*
   * Frames that say nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and
   * CONTINUATION, frames of closed streams and of unknown types. Each frame of payload,
   * either way, allows three more.
   */
  uint32_t noise_at_once;    /* 20,000 */
  uint32_t noise_per_second; /* 10,000 */

  /* Answers that the peer causes and does not read (acknowledgements, RST_STREAM): with
   * so many, and four for each of max_streams, nothing more is read of it; with twice as
   * many the connection ends. */
  uint32_t unread_replies; /* 1,000 */

  /* The headers of one call, decoded, 32 bytes more for each field (RFC 9113 6.5.2): beyond,
   * further fields are dropped and the call gets RESOURCE_EXHAUSTED. */
  uint32_t header_bytes;  /* 16,384; at most header_block_bytes */
  uint32_t header_fields; /* 128 */
  /* The same, beyond which the connection ends. */
  uint32_t header_block_bytes;  /* 65,536; at most 1 GiB */
  uint32_t header_block_fields; /* 512 */

  /*
   * Memory for the messages of one connection: replies that wait for the peer, requests
   * that are not whole or not handled yet, compressed and decompressed. Near it, requests
   * come one after the other, and calls wait for their turn: for handlers that hold their
   * requests as long as they do, for the peer while it takes what it has asked for; when
   * that is what takes the room and it takes nothing for a second, new calls get
   * RESOURCE_EXHAUSTED.
   * What a handler has begun may be finished. A message that many calls send
   * (caw_payload) counts for each of them. On a channel: replies that are not whole, and
   * 256 KiB more for each call.
   */
  size_t connection_bytes; /* 64 MiB; at least 1 MiB */
  /* Server: the same for all its connections; beyond, new calls get RESOURCE_EXHAUSTED. */
  size_t server_bytes; /* 1 GiB */

  /* From the connection to the client's first SETTINGS, the TLS handshake too. (A channel has
   * connect_timeout_ms.) */
  uint64_t handshake_ms; /* 10,000 */
  /* Until our SETTINGS are acknowledged, from the peer's. */
  uint64_t settings_ack_ms; /* 10,000 */
  /* From a HEADERS frame to the end of its header block. */
  uint64_t header_block_ms; /* 10,000 */
  /* The peer's system takes nothing of what we have to send, not a byte. An exhausted
   * window of HTTP/2 is no reason. */
  uint64_t write_ms; /* 30,000 */

  /* A limit was hit: which, and the peer's address as of caw_call_peer, borrowed. On the
   * thread of the connection's loop, so on several at once when there are several; it
   * may not call into the server or channel. May be NULL. */
  void (*on_hit)(caw_limit limit, caw_str peer, void *user);
  void *user; /* for on_hit */
} caw_limits;

/* The name of a limit for logs and metrics: "resets", "write-time"; "unknown" for a value
 * that is none. Lives for ever. Any thread. Since 0.1. */
CAW_API const char *caw_limit_name(caw_limit limit);

CAW_END_DECLS

#endif
