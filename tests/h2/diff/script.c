/*
 * The grammar of a script. Four bytes of options, then steps: one byte says which,
 * with two bits that vary it, and as many as it needs follow. A script that has
 * ended reads as zeros, which mean the most common.
 */
#include "diff/inside.h"

#include <caw/status.h>
#include <limits.h>
#include <string.h>

#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define LOCAL_BYTES ((size_t)100000) /* less than what may be framed ahead; in big scripts: */
#define BIG_BYTES   ((size_t)1500000)

uint8_t next(diff *d) {
  return d->script < d->script_end ? *d->script++ : 0;
}

/* A byte of which what makes a peer break the rules is left out in honest scripts. */
static unsigned next_honest(diff *d, unsigned mask) {
  unsigned byte = next(d);
  return d->honest ? byte & mask : byte;
}

/* ---- which stream ---- */

/* For a local call: one that both sides have open. */
static stream *open_stream(diff *d) {
  unsigned which = next(d), n = 0;
  for (size_t i = 0; i < d->count; i++)
    n += d->streams[i].of[OURS].h2 && d->streams[i].of[ORACLE].h2;
  if (!n) return NULL;
  which %= n;
  for (size_t i = 0;; i++) {
    stream *st = &d->streams[i];
    if (st->of[OURS].h2 && st->of[ORACLE].h2 && !which--) return st;
  }
}

/* May an honest peer send on it? What a client writes only now, its server does not
 * know yet. */
static bool is_honest(const diff *d, const stream *st, unsigned type) {
  if (type == F_DATA || type == F_HEADERS) {
    const half *a = &st->of[OURS], *b = &st->of[ORACLE];
    if (st->over || st->aborted) return false;
    return d->role == H2_SERVER || (a->opened && b->opened && (st->heard || type == F_HEADERS));
  }
  return d->role == H2_SERVER ? st->heard : st->of[OURS].opened && st->of[ORACLE].opened;
}

/* For a frame of the peer: one of the streams that were, the newest first, and now
 * and then another number. Returns false when an honest peer has none. */
static bool any_id(diff *d, unsigned type, uint32_t *id) {
  unsigned which = next(d), n = 0;
  if (!d->honest && (which >= 240 || !d->count)) {
    const uint32_t ids[] = {d->next_id, 1, 0, 2, INT32_MAX, d->next_id + 1, d->next_id + 4};
    *id = ids[which % COUNT(ids)];
    return true;
  }
  for (size_t i = 0; i < d->count; i++) n += !d->honest || is_honest(d, &d->streams[i], type);
  if (!n) return false;
  which %= n;
  for (size_t i = d->count - 1;; i--) {
    if (d->honest && !is_honest(d, &d->streams[i], type)) continue;
    *id = d->streams[i].id;
    if (!which--) return true;
  }
}

static uint32_t new_id(diff *d, unsigned vary) {
  uint32_t id = d->next_id + (vary == 3 ? 4 : 0);
  d->next_id = id + 2;
  return id;
}

/* ---- the peer ---- */

static void put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24);
  p[1] = (uint8_t)(v >> 16);
  p[2] = (uint8_t)(v >> 8);
  p[3] = (uint8_t)v;
}

/* HEADERS with its block, padded, with a priority, in pieces, as `next` says. */
static void headers(diff *d, uint32_t id, const block *b, unsigned flags) {
  static uint8_t payload[1 << 15];
  unsigned how = next_honest(d, 128 | 32 | 15), pieces = 1, empty = 0;
  size_t head = 0, pad = 0, at = 0;
  if (how >= 128) { /* something odd */
    static const uint8_t counts[] = {1, 2, 3, 8};
    pieces = counts[how & 3] + (how & 64 ? 4 : 0);
    if (how & 4) {
      flags |= PADDED;
      pad = next(d) % 40;
      payload[head++] = (uint8_t)(how & 64 ? 255 : pad);
    }
    if (how & 8) {
      flags |= PRIORITY;
      uint32_t on = how & 16 ? id : next(d);
      memcpy(payload + head,
             (uint8_t[]){(uint8_t)(on >> 24), (uint8_t)(on >> 16), (uint8_t)(on >> 8), (uint8_t)on,
                         15},
             5);
      head += 5;
    }
  }
  if (how >= 248) empty = next(d) % 12;
  size_t size = b->len / pieces;
  if (how & 32 && how >= 128) size = size ? 1 : 0;
  if (size > 16000) size = 16000;
  for (unsigned i = 0; at < b->len || !i; i++) {
    size_t n = b->len - at <= 16000 && (i + 1 >= pieces || !size) ? b->len - at : size ? size : 1;
    bool last = at + n == b->len;
    for (; i && last && empty; empty--) peer_frame(d, F_CONTINUATION, 0, id, NULL, 0);
    memcpy(payload + head, b->bytes + at, n);
    if (!i && flags & PADDED) {
      memset(payload + head + n, 0, pad);
      n += pad;
    }
    peer_frame(d, i ? F_CONTINUATION : F_HEADERS, (i ? 0 : flags) | (last ? END_HEADERS : 0), id,
               payload, head + n);
    at += i || !(flags & PADDED) ? n : n - pad;
    head = 0;
  }
}

static void peer_opens(diff *d, unsigned vary) {
  static block b;
  uint32_t id = 0;
  if (d->role == H2_SERVER) {
    block_request(d, &b);
    id = new_id(d, vary);
  } else {
    if (vary == 3) block_informational(d, &b);
    else block_response(d, &b);
    if (!any_id(d, F_HEADERS, &id)) return;
  }
  headers(d, id, &b, vary == 2 ? END_STREAM : 0);
}

static void peer_headers_again(diff *d, unsigned vary) {
  static block b;
  uint32_t id;
  if (!any_id(d, F_HEADERS, &id)) return;
  if (vary == 3 && !d->honest) block_response(d, &b);
  else block_trailers(d, &b);
  headers(d, id, &b, vary == 2 && !d->honest ? 0 : END_STREAM);
}

static void peer_data(diff *d, unsigned vary) {
  static uint8_t payload[16384 + 300];
  static const uint16_t sizes[] = {5, 0, 1, 9, 100, 1000, 16384, 3000};
  uint32_t id = 0;
  unsigned how = next_honest(d, 127 - 16), flags = vary == 1 ? END_STREAM : 0;
  size_t len = sizes[how & 7], at = 0;
  if (!any_id(d, F_DATA, &id)) return;
  if (!payload[1]) memset(payload, 'd', sizeof(payload));
  payload[0] = 'd';
  if (how & 64) { /* padded; its last form has more padding than payload */
    flags |= PADDED;
    payload[0] = how & 128 ? 200 : 7;
    at = len + (how & 128 ? 0 : 8);
    len = at > 16384 ? 16384 : at;
  }
  const stream *st = stream_find(d, id);
  int64_t window = st ? peer_window(d, st, true) : (int64_t)len;
  if (vary & 2 && how & 32) { /* all that is permitted, or one byte more than that */
    window = st ? peer_window(d, st, !(how & 16)) : 0;
    len = window < 0 ? 0 : window >= 16384 ? 16384 : (size_t)window + (how & 16 ? 1 : 0);
  } else if ((int64_t)len > window) {
    len = window < 0 ? 0 : (size_t)window;
  }
  peer_frame(d, F_DATA, flags, id, payload, len);
}

static size_t put_setting(uint8_t *p, unsigned which, unsigned value) {
  static const struct {
    uint16_t name;
    uint32_t values[6];
  } settings[] = {
      {4, {65535, 0, 100, 1 << 20, INT32_MAX, (uint32_t)INT32_MAX + 1}},
      {1, {4096, 0, 100, 60, 65536, UINT32_MAX}},
      {3, {100, 0, 1, 2, UINT32_MAX, 5}},
      {5, {16384, 20000, 16383, (1 << 24) - 1, 1 << 24, 0}},
      {2, {0, 0, 1, 2, 0, 1}},
      {6, {16384, 0, 100, UINT32_MAX, 1, 2}},
      {8, {0, 1, 2, 1, 0, 0}},
      {9, {0, 1, 2, 0, 1, 1}},
      {0x10, {0, 1, 2, 0, 0, 0}},
      {0, {0, 1, UINT32_MAX, 0, 0, 0}},
  };
  p[0] = (uint8_t)(settings[which % COUNT(settings)].name >> 8);
  p[1] = (uint8_t)settings[which % COUNT(settings)].name;
  put32(p + 2, settings[which % COUNT(settings)].values[value % 6]);
  return 6;
}

static void peer_settings(diff *d, unsigned vary) {
  uint8_t payload[6 * 64] = {0};
  size_t len = 0;
  unsigned how = next_honest(d, 127), flags = 0;
  uint32_t id = 0;
  if (d->settings_sent - d->sides[ORACLE].settings_acked > 50) d->stop = true;
  for (unsigned i = 0; i < vary; i++) {
    unsigned which = next(d);
    len += d->honest ? put_setting(payload + len, (which >> 3) % 6, which & 1)
                     : put_setting(payload + len, which >> 3, which & 7);
  }
  if (how >= 240) {
    if (how & 1) id = 1;
    if (how & 2) len += 5;
    if (how & 4) flags = ACK;
    if (how & 8) len += 6 * (next(d) % 60);
  }
  peer_frame(d, F_SETTINGS, flags, id, payload, len);
}

/* More DATA in one go than the connection has window for. What becomes of its
 * stream is not compared: nghttp2 gives window back in between when it is reset. */
static void flood(diff *d) {
  static uint8_t bytes[8 * (HEAD + 16384)];
  size_t len = 0;
  uint32_t id;
  if (!any_id(d, F_DATA, &id)) return;
  drain(d);
  stream *st = stream_find(d, id);
  if (d->stop || !at_boundary(d) || !st || st->over || st->aborted || !st->of[OURS].h2) return;
  if (d->role == H2_CLIENT && !st->of[OURS].final) return;
  int64_t window = 65535 + (int64_t)d->sides[OURS].granted - (int64_t)d->data;
  if (window >= 8 * 16384) return;
  for (int64_t sum = 0; sum <= window; sum += 16384, len += HEAD + 16384) {
    memset(bytes + len, 0, HEAD);
    bytes[len + 1] = 0x40;
    put32(bytes + len + 5, id);
  }
  TELL(d, "peer   floods %u\n", id);
  side_recv(&d->sides[OURS], bytes, len);
  side_recv(&d->sides[ORACLE], bytes, len);
  while (side_take(&d->sides[OURS], SIZE_MAX) && !d->why) continue;
  if (d->sides[OURS].goaway != H2_FLOW_CONTROL_ERROR)
    differ(d, "ours took DATA beyond the connection's window");
  d->stop = true;
}

/* The answer to a PING by which ours measures the peer. */
static void answer_probe(diff *d) {
  uint8_t bytes[HEAD + 8] = {0, 0, 8, F_PING, ACK};
  side *s = &d->sides[OURS];
  if (!s->probes || !at_boundary(d)) return;
  s->probes--;
  s->grown = true;
  memcpy(bytes + HEAD, &(uint64_t){PROBE}, 8);
  TELL(d, "peer   answers ours\n");
  h2_at(s->s, 1 + ++d->counter * UINT64_C(1000000));
  side_recv(s, bytes, sizeof(bytes));
}

static void peer_acks(diff *d, unsigned vary) {
  if (d->acked && vary == 1 && !d->honest) flood(d);
  if (d->acked && vary == 2) answer_probe(d);
  if (d->stop) return;
  if ((vary == 3 && !d->honest) || !d->acked) peer_frame(d, F_SETTINGS, ACK, 0, NULL, 0);
}

static void peer_window_update(diff *d, unsigned vary) {
  static const uint32_t steps[] = {1000, 1, 0, 100, 20000, 65535, 1 << 20, INT32_MAX};
  uint8_t payload[8] = {0};
  uint32_t id = 0;
  if (!(vary & 1) && !any_id(d, F_WINDOW, &id)) return;
  unsigned how = next_honest(d, 128 | 17);
  put32(payload, steps[how & 7] | (how & 16 ? 1u << 31 : 0));
  peer_frame(d, F_WINDOW, next(d) % 4, id, payload, how >= 250 ? how - 250 : 4);
}

static void peer_resets(diff *d, unsigned vary) {
  static const uint32_t codes[] = {H2_CANCEL,         H2_NO_ERROR, H2_REFUSED_STREAM,
                                   H2_PROTOCOL_ERROR, 0xffffffff,  H2_INTERNAL_ERROR};
  uint8_t payload[8] = {0};
  uint32_t id = 0;
  unsigned how = next_honest(d, 127);
  if (!any_id(d, F_RST, &id)) return;
  put32(payload, codes[how % COUNT(codes)]);
  peer_frame(d, F_RST, vary == 3 ? 0xff : 0, id, payload, how >= 250 ? how - 250 : 4);
}

static void peer_pings(diff *d, unsigned vary) {
  uint8_t payload[16] = "opaque";
  unsigned how = next_honest(d, 127);
  payload[7] = (uint8_t)how;
  peer_frame(d, F_PING, vary & 1 ? ACK : 0, how == 251 ? 1 : 0, payload,
             how >= 252 ? how - 246 : 8);
}

static void peer_goaway(diff *d, unsigned vary) {
  uint8_t payload[40] = {0};
  unsigned how = next_honest(d, 128 | 1 | 4 | 8);
  uint32_t last = how & 1 ? INT32_MAX : how & 4 ? 0 : 1;
  if (how & 2 && !any_id(d, F_PRIORITY, &last)) last = 0;
  if (d->honest && d->role == H2_SERVER) last = 0;
  put32(payload, last);
  put32(payload + 4, how >> 3 & 15);
  memset(payload + 8, 'g', 32);
  peer_frame(d, F_GOAWAY, 0, vary == 3 && how & 64 ? 1 : 0, payload,
             vary == 2 && how & 32 ? how % 9 : 8 + how / 16);
}

static void peer_priority(diff *d, unsigned vary) {
  uint8_t payload[8] = {0};
  uint32_t id = 0;
  unsigned how = next_honest(d, 127);
  if (!any_id(d, F_PRIORITY, &id)) return;
  put32(payload, vary == 1 && !d->honest ? id : how);
  peer_frame(d, F_PRIORITY, 0, id, payload, how >= 250 ? how - 249 : 5);
}

static void peer_odd(diff *d, unsigned vary) {
  uint8_t payload[64];
  unsigned type = next(d), flags = next(d);
  uint32_t id = 0;
  size_t len = next(d) % sizeof(payload), lie = vary == 3 && !d->honest ? next(d) : 0;
  if (!any_id(d, F_PRIORITY, &id)) return;
  for (size_t i = 0; i < len; i++) payload[i] = next(d);
  if (vary == 0 || d->honest) type = 10 + type % 20;
  else type %= 12;
  uint8_t head[HEAD] = {(uint8_t)(lie >= 250 ? lie - 249 : 0), 0, (uint8_t)(len + lie % 250),
                        (uint8_t)type, (uint8_t)flags};
  put32(head + 5, id);
  peer_bytes(d, head, HEAD);
  peer_bytes(d, payload, len);
}

static void peer_raw(diff *d, unsigned vary) {
  size_t len = 1 + next(d) % 64;
  if (d->honest || !vary) {
    peer_data(d, vary);
    return;
  }
  for (size_t i = 0; i < len; i++) {
    uint8_t byte = next(d);
    peer_bytes(d, &byte, 1);
  }
}

/* ---- local calls ---- */

/* Both sides' results of a call. */
static void compare_results(diff *d, const char *call, int ours, int oracle) {
  TELL(d, "call  %s: %d\n", call, oracle);
  if (ours != oracle) differ(d, "%s returned %d, oracle %d", call, ours, oracle);
}

static h2_field field(const char *name, caw_str value, unsigned flags) {
  return (h2_field){caw_str_from(name), value, H2_T_NONE, (uint8_t)flags};
}

/* Whoever knows tokens may say them. */
static void say_tokens(const diff *d, h2_field *f, size_t n) {
  for (size_t i = 0; d->tokens && i < n; i++) f[i].token = (uint8_t)h2_token_of(f[i].name);
}

/* Fields of ours behind those that must be there: some that repeat, some that do
 * not, secret ones, long ones. Returns how many. */
static size_t more_fields(diff *d, h2_field *f, unsigned which) {
  static char text[100][8], longer[20000], names[30][16];
  static const uint16_t lengths[] = {126, 127, 4000, 4064, 16360, 20000};
  caw_str counted;
  if (which < 112) return 0;
  if (!longer[0]) memset(longer, 'l', sizeof(longer));
  snprintf(text[d->counter % 100], 8, "v%u", d->counter % 100);
  counted = caw_str_from(text[d->counter++ % 100]);
  switch (which & 15) {
  case 0:
    f[0] = field("x-again", caw_str_from("the same value"), 0);
    return 1;
  case 1:
    f[0] = field("x-counted", counted, 0);
    return 1;
  case 2:
    f[0] = field("authorization", counted, H2_FIELD_SECRET);
    f[1] = field("x-lasting", counted, H2_FIELD_LASTING);
    return 2;
  case 3:
    for (size_t i = 0; i < 40; i++) f[i] = field("x-many", counted, 0);
    return 40;
  case 4:
    counted = caw_str_of(longer, lengths[(which >> 3) % COUNT(lengths)]);
    d->local_bytes += counted.len;
    f[0] = field("x-long", counted, 0);
    return 1;
  case 5:
    f[0] = field("x-empty", (caw_str){"", 0}, 0);
    f[1] = field("x-odd", caw_str_of("\x01\xff\0z", 4), 0);
    return 2;
  case 6:
    f[0] = field("cookie", counted, 0);
    f[1] = field("date", caw_str_from("Mon, 21 Oct 2013 20:13:21 GMT"), 0);
    f[2] = field("x-again", caw_str_from("the same value"), H2_FIELD_SECRET);
    return 3;
  case 7:
    f[0] = field("grpc-message", counted, 0);
    f[1] = field("grpc-timeout", counted, 0);
    f[2] = field("content-length", caw_str_from("0"), 0);
    f[3] = field("grpc-status-details-bin", counted, 0);
    f[4] = field("user-agent", caw_str_from("us/1"), 0);
    return 5;
  case 8:
    f[0] = field("grpc-encoding", caw_str_from("identity"), 0);
    f[1] = field("grpc-accept-encoding", caw_str_from("identity,gzip"), 0);
    f[2] = field("accept-encoding", caw_str_from("gzip, deflate"), 0); /* as in the static table */
    f[3] = field("authorization", caw_str_from(""), H2_FIELD_SECRET);
    return 4;
  case 9:
    for (size_t i = 0; i < 30; i++) {
      snprintf(names[i], sizeof(names[i]), "x-%zu-%u", i, which >> 4);
      f[i] = field(names[i], counted, 0);
    }
    return 30;
  case 10:
    f[0] = field("x-again", caw_str_of(longer, 60), H2_FIELD_SECRET);
    f[1] = field("x-again", caw_str_of(longer, 60), 0);
    f[2] = field("cookie", caw_str_of(longer, 60), H2_FIELD_SECRET);
    f[3] = field("cookie", caw_str_of(longer, 60), 0);
    return 4;
  default:
    for (size_t i = 0; i < 12; i++) f[i] = field(i % 2 ? "x-again" : "x-counted", counted, 0);
    return 12;
  }
}

static void do_request(diff *d, unsigned vary) {
  h2_field f[50] = {field(":method", caw_str_from(vary == 3 ? "HEAD" : "POST"), 0),
                    field(":scheme", caw_str_from("http"), 0),
                    field(":path", caw_str_from("/service/method"), H2_FIELD_LASTING),
                    field(":authority", caw_str_from("host:1"), 0),
                    field("te", caw_str_from("trailers"), 0)};
  size_t n = 5 + more_fields(d, f + 5, next(d));
  say_tokens(d, f, n);
  if (d->count >= STREAMS - 1) d->stop = true;
  /* A frame that has begun was for a stream that was idle. And the oracle counts
   * streams until it has told their end. */
  d->keep_back = 0;
  if (d->fed < d->scanned) peer_deliver(d);
  if (!d->stop) settle(d);
  if (d->stop || in_doubt(d)) return;
  stream *st = stream_for(d, 0x80000000u); /* until its id is known */
  int rc[SIDES];
  for (int i = 0; i < SIDES; i++) {
    side *s = &d->sides[i];
    rc[i] = s->face->request(s->s, f, n, &st->of[i], &st->of[i].h2);
    if (rc[i]) continue;
    st->id = s->face->stream_id(st->of[i].h2);
    st->of[i].told = true;
  }
  if (rc[OURS] || rc[ORACLE]) d->count--;
  else if (d->sides[OURS].face->stream_id(st->of[OURS].h2) != st->id)
    differ(d, "h2_request gave stream %u another id", st->id);
  compare_results(d, "h2_request", rc[OURS], rc[ORACLE]);
  if (rc[OURS]) return;
  st->answered = true;
  st->to_head = vary == 3;
  d->next_id = st->id + 2;
}

static void do_respond(diff *d, unsigned vary) {
  stream *st = open_stream(d);
  h2_field f[50] = {field(":status", caw_str_from("200"), 0),
                    field("content-type", caw_str_from("application/grpc"), H2_FIELD_LASTING)};
  size_t n = 2 + more_fields(d, f + 2, next(d));
  int rc[SIDES];
  (void)vary;
  if (!st) return;
  say_tokens(d, f, n);
  TELL(d, "call  on %u\n", st->id);
  for (int i = 0; i < SIDES; i++)
    rc[i] = d->sides[i].face->respond(d->sides[i].s, st->of[i].h2, f, n);
  compare_results(d, "h2_respond", rc[OURS], rc[ORACLE]);
  if (!rc[OURS]) st->answered = true;
}

static void do_send(diff *d, unsigned vary) {
  static const uint16_t sizes[] = {5, 0, 1, 100, 1000, 1023, 1024, 1025, 16384, 16385, 3000, 60000};
  stream *st = open_stream(d);
  size_t len = sizes[next(d) % COUNT(sizes)];
  int rc[SIDES];
  if (d->big && vary) len = 60000; /* all that side_payload has at once */
  if (!st || d->local_bytes + len > (d->big ? BIG_BYTES : LOCAL_BYTES)) return;
  TELL(d, "call  on %u\n", st->id);
  for (int i = 0; i < SIDES; i++)
    rc[i] = d->sides[i].face->send(d->sides[i].s, st->of[i].h2,
                                   side_payload(&d->sides[i], st->id, st->queued, len));
  compare_results(d, "h2_send", rc[OURS], rc[ORACLE]);
  if (rc[OURS]) return;
  st->queued += len;
  d->local_bytes += len;
}

static void do_finish(diff *d, unsigned vary) {
  stream *st = open_stream(d);
  unsigned which = next(d);
  h2_field f[52];
  size_t n = 0;
  int rc[SIDES];
  if (!st) return;
  if (!st->answered) f[n++] = field(":status", caw_str_from("200"), 0);
  if (vary < 3) {
    f[n++] = field("grpc-status", caw_str_from("0"), 0);
    n += more_fields(d, f + n, which);
  }
  say_tokens(d, f, n);
  TELL(d, "call  on %u\n", st->id);
  for (int i = 0; i < SIDES; i++)
    rc[i] = d->sides[i].face->finish(d->sides[i].s, st->of[i].h2, n ? f : NULL, n);
  compare_results(d, "h2_finish", rc[OURS], rc[ORACLE]);
  if (!rc[OURS]) st->finished = st->answered = true;
}

static void do_reset(diff *d, unsigned vary) {
  static const uint32_t codes[] = {H2_CANCEL, H2_NO_ERROR, H2_INTERNAL_ERROR, H2_REFUSED_STREAM};
  stream *st = open_stream(d);
  int rc[SIDES];
  if (!st) return;
  TELL(d, "call  on %u\n", st->id);
  for (int i = 0; i < SIDES; i++)
    rc[i] = d->sides[i].face->reset(d->sides[i].s, st->of[i].h2, codes[vary]);
  compare_results(d, "h2_reset", rc[OURS], rc[ORACLE]);
  st->reset = true;
}

static void do_consume(diff *d, unsigned vary) {
  stream *st = open_stream(d);
  int rc[SIDES];
  if (!st) return;
  uint64_t most = st->of[OURS].received;
  if (most > st->of[ORACLE].received) most = st->of[ORACLE].received;
  most = most > st->consumed ? most - st->consumed : 0;
  if (vary == 1) most /= 2;
  if (vary == 2 && most > 1) most = 1;
  TELL(d, "call  on %u, %llu bytes\n", st->id, (unsigned long long)most);
  for (int i = 0; i < SIDES; i++)
    rc[i] = d->sides[i].face->consume(d->sides[i].s, st->of[i].h2, (size_t)most);
  compare_results(d, "h2_consume", rc[OURS], rc[ORACLE]);
  st->consumed += most;
  if (vary < 3) return;
  side *s = &d->sides[OURS];
  s->grown = true;
  if (h2_expect(s->s, st->of[OURS].h2, (size_t)next(d) * 3000)) differ(d, "h2_expect failed");
}

/* nghttp2 leaves an announcement out that comes late. */
static void do_goaway(diff *d, unsigned vary) {
  int rc[SIDES];
  d->keep_back = 0;
  peer_deliver(d);
  if (d->stop || in_doubt(d)) return;
  if (!(vary & 1) && (d->goaway || d->announced)) return;
  d->announced = true;
  for (int i = 0; i < SIDES; i++) {
    side *s = &d->sides[i];
    uint32_t last = vary & 1 ? s->face->last_id(s->s) : UINT32_MAX;
    rc[i] = s->face->goaway(s->s, last, vary & 2 ? H2_ENHANCE_YOUR_CALM : H2_NO_ERROR,
                            caw_str_from("debug"));
  }
  compare_results(d, "h2_goaway", rc[OURS], rc[ORACLE]);
  d->ended |= vary & 1 || d->role == H2_CLIENT;
  d->goaway |= d->ended;
}

static void do_ping(diff *d, unsigned vary) {
  int rc[SIDES];
  for (int i = 0; i < SIDES; i++) rc[i] = d->sides[i].face->ping(d->sides[i].s, vary);
  compare_results(d, "h2_ping", rc[OURS], rc[ORACLE]);
}

static void do_write_some(diff *d, unsigned vary) {
  static const uint16_t sizes[] = {1, 20, 1000, 20000};
  settle(d);
  for (int i = 0; i < SIDES && !d->stop && !d->big; i++) side_take(&d->sides[i], sizes[vary]);
}

static void do_drain(diff *d, unsigned vary) {
  (void)vary;
  drain(d);
}

/* ---- steps ---- */

typedef struct step {
  void (*act)(diff *d, unsigned vary);
  bool peers;
} step;

static const step server_steps[32] = {
    {peer_opens, true},         {peer_opens, true},    {peer_opens, true},
    {peer_data, true},          {peer_data, true},     {peer_data, true},
    {peer_headers_again, true}, {peer_odd, true},      {peer_settings, true},
    {peer_window_update, true}, {peer_resets, true},   {peer_pings, true},
    {peer_goaway, true},        {peer_priority, true}, {peer_raw, true},
    {peer_acks, true},          {do_respond, false},   {do_respond, false},
    {do_respond, false},        {do_send, false},      {do_send, false},
    {do_send, false},           {do_finish, false},    {do_finish, false},
    {do_finish, false},         {do_reset, false},     {do_consume, false},
    {do_consume, false},        {do_goaway, false},    {do_ping, false},
    {do_write_some, false},     {do_drain, false},
};

static const step client_steps[32] = {
    {peer_opens, true},         {peer_opens, true},    {peer_opens, true},
    {peer_data, true},          {peer_data, true},     {peer_data, true},
    {peer_headers_again, true}, {peer_odd, true},      {peer_settings, true},
    {peer_window_update, true}, {peer_resets, true},   {peer_pings, true},
    {peer_goaway, true},        {peer_priority, true}, {peer_raw, true},
    {peer_acks, true},          {do_request, false},   {do_request, false},
    {do_request, false},        {do_send, false},      {do_send, false},
    {do_send, false},           {do_finish, false},    {do_finish, false},
    {do_request, false},        {do_reset, false},     {do_consume, false},
    {do_consume, false},        {do_goaway, false},    {do_ping, false},
    {do_write_some, false},     {do_drain, false},
};

/* Steps of the peer are heard at once, unless the step says that more follows (32),
 * or the last bytes come later. */
bool script_step(diff *d) {
  if (d->script == d->script_end) return false;
  d->honest = d->honest_steps > 0;
  if (d->honest) d->honest_steps--;
  unsigned byte = next(d), vary = byte >> 6;
  const step *s = &(d->role == H2_SERVER ? server_steps : client_steps)[byte & 31];
  if (s->peers || !in_doubt(d)) s->act(d, vary);
  if (d->stop) return true;
  if (s->peers) {
    if (byte & 32) {
      unsigned more = next(d);
      if (more < 160) return true;
      d->keep_back = more - 159;
    }
    peer_deliver(d);
  }
  if (!d->stop && !(d->lazy && s->peers)) settle(d);
  return true;
}

/* ---- options ---- */

static void choose_config(diff *d, unsigned a, unsigned b) {
  static const uint32_t streams[] = {100, 100, 1, 3}, windows[] = {262144, 1000, 65535, 100},
                        sessions[] = {1 << 20, 65535, 100000, 70000};
  d->config = (h2_config){.max_streams = streams[a & 3],
                          .stream_window = windows[a >> 2 & 3],
                          .session_window = sessions[a >> 4 & 3],
                          .max_frame = a >> 6 == 3 ? 20000 : 16384,
                          .soft_header_bytes = 16384,
                          .soft_header_fields = 128,
                          .hard_header_bytes = 65536,
                          .hard_header_fields = 512};
  if (b & 1) {
    d->config.soft_header_bytes = 500;
    d->config.hard_header_bytes = 1500;
  }
  if (b & 2) {
    d->config.soft_header_fields = 9;
    d->config.hard_header_fields = 30;
  }
}

void script_start(diff *d) {
  unsigned how = next(d), more = next(d), a = next(d), b = next(d);
  d->role = how & 1 ? H2_CLIENT : H2_SERVER;
  d->honest_steps = more & 4 ? UINT_MAX : more >> 3;
  d->honest = true;
  d->avoid = !(how & 2);
  d->with_room = how & 4;
  d->tokens = more & 128;
  d->lazy = how & 8;
  d->refuse = how >> 4 & 3;
  d->chunk = more & 3;
  d->seed = more + 1;
  choose_config(d, a, b);
  TELL(d, "%s%s, chunks %u, avoid %d, lazy %d\n", how & 1 ? "client" : "server",
       d->honest_steps == UINT_MAX ? ", honest" : "", d->chunk, d->avoid, d->lazy);
  d->opening = (how >> 6) | (b & 0xfc);
  d->big = (b >> 5) == 7;
  d->parts = 1 + (more >> 2) % 16;
  d->honest = d->honest_steps > 0;
}

/* Windows for more than what may be framed ahead. */
static void open_wide(diff *d) {
  uint8_t payload[6] = {0, 4, 0, 32, 0, 0};
  peer_frame(d, F_SETTINGS, 0, 0, payload, 6);
  peer_frame(d, F_WINDOW, 0, 0, payload + 2, 4);
}

/* A good begin, most often: the preface, SETTINGS, an ack. */
void script_open(diff *d) {
  unsigned vary = d->opening & 3;
  if (vary == 3 && d->honest) vary = 1;
  if (vary == 3 && d->opening & 128) return;
  if (d->role == H2_SERVER) peer_bytes(d, NGHTTP2_CLIENT_MAGIC, PREFACE);
  if (vary == 3) return;
  peer_settings(d, d->opening >> 2 & 3);
  if (d->big) open_wide(d);
  if (vary) {
    drain(d);
    peer_acks(d, 0);
  }
  peer_deliver(d);
  if (!d->stop) settle(d);
}
