/* Frames as they are on the wire (RFC 9113 section 4.1), and the numbers that the
 * RFC gives to their types and flags. */
#ifndef H2_FRAME_H
#define H2_FRAME_H

#include <stdint.h>
#include <string.h>

#define FRAME_HEAD ((size_t)9)

/* What the client's side of a connection begins with (RFC 9113 section 3.4). */
#define H2_PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define H2_PREFACE_LEN (sizeof(H2_PREFACE) - 1)

enum {
  FRAME_DATA = 0,
  FRAME_HEADERS = 1,
  FRAME_PRIORITY = 2,
  FRAME_RST_STREAM = 3,
  FRAME_SETTINGS = 4,
  FRAME_PUSH_PROMISE = 5,
  FRAME_PING = 6,
  FRAME_GOAWAY = 7,
  FRAME_WINDOW_UPDATE = 8,
  FRAME_CONTINUATION = 9
};

enum {
  FLAG_END_STREAM = 0x1,
  FLAG_ACK = 0x1,
  FLAG_END_HEADERS = 0x4,
  FLAG_PADDED = 0x8,
  FLAG_PRIORITY = 0x20
};

enum {
  SETTINGS_HEADER_TABLE_SIZE = 1,
  SETTINGS_ENABLE_PUSH = 2,
  SETTINGS_MAX_CONCURRENT_STREAMS = 3,
  SETTINGS_INITIAL_WINDOW_SIZE = 4,
  SETTINGS_MAX_FRAME_SIZE = 5,
  SETTINGS_MAX_HEADER_LIST_SIZE = 6,
  SETTINGS_ENABLE_CONNECT_PROTOCOL = 8, /* RFC 8441 */
  SETTINGS_NO_RFC7540_PRIORITIES = 9    /* RFC 9218 */
};

#define SETTING_LEN    ((size_t)6)
#define INITIAL_WINDOW 65535               /* RFC 9113 section 6.9.2 */
#define MAX_WINDOW     INT32_MAX           /* RFC 9113 section 6.9.1 */
#define MIN_FRAME      ((uint32_t)1 << 14) /* RFC 9113 section 4.2 */
#define MAX_FRAME      (((uint32_t)1 << 24) - 1)
#define MAX_ID         ((uint32_t)INT32_MAX)

typedef struct frame_head {
  uint32_t len;
  uint32_t id;
  uint8_t type, flags;
} frame_head;

static inline uint32_t read_u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void write_u32(uint8_t *p, uint32_t n) {
  p[0] = (uint8_t)(n >> 24);
  p[1] = (uint8_t)(n >> 16);
  p[2] = (uint8_t)(n >> 8);
  p[3] = (uint8_t)n;
}

static inline frame_head frame_read(const uint8_t *p) {
  frame_head h = {(uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2], read_u32(p + 5) & MAX_ID, p[3],
                  p[4]};
  return h;
}

static inline void frame_write(uint8_t *p, size_t len, unsigned type, unsigned flags, uint32_t id) {
  p[0] = (uint8_t)(len >> 16);
  p[1] = (uint8_t)(len >> 8);
  p[2] = (uint8_t)len;
  p[3] = (uint8_t)type;
  p[4] = (uint8_t)flags;
  write_u32(p + 5, id);
}

#endif
