/*
 * HPACK beside nghttp2's, with random lists of fields: what our encoder writes,
 * both decoders read; what nghttp2's encoder writes, ours reads; bytes that were
 * damaged or rolled are judged alike. Table sizes change between the blocks.
 *
 * CAW_HPACK_LISTS says how many lists (60,000); a million takes seconds in a release build.
 */
#include "failing.h"
#include "hpack_rig.h"

#include "h2/hpack_static.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/*
 * Where ours and nghttp2's 1.52 differ, each on purpose:
 *
 *   three updates of the table's size at a block's begin: refused by ours, taken
 *   by nghttp2. Section 4.2: "resulting in at most two dynamic table size updates".
 *
 * Everything else is judged alike, also where the RFC leaves it open: the limit of
 * an integer is five bytes behind its prefix and 2^32 - 1 (section 5.1: "integer
 * encodings that exceed implementation limits [...] MUST be treated as decoding
 * errors"), and a string's is 65,536 bytes here.
 */

#define FIELDS_MAX 24
#define BLOCK_MAX  ((size_t)1 << 20)

static heard sent, ours, theirs;
static size_t updates_refused; /* blocks with more than two */
static uint8_t block[BLOCK_MAX];
static char text[BLOCK_MAX];
static size_t text_len;

static const char *const names[] = {":method",
                                    ":path",
                                    ":scheme",
                                    ":authority",
                                    ":status",
                                    ":protocol",
                                    "te",
                                    "content-type",
                                    "user-agent",
                                    "grpc-timeout",
                                    "grpc-status",
                                    "grpc-message",
                                    "grpc-status-details-bin",
                                    "grpc-encoding",
                                    "grpc-accept-encoding",
                                    "accept-encoding",
                                    "authorization",
                                    "cookie",
                                    "set-cookie",
                                    "content-length",
                                    "date",
                                    "server",
                                    "host",
                                    "x-request-id",
                                    "x-trace-bin",
                                    "x-tenant",
                                    "x-b3-traceid",
                                    "via",
                                    "accept",
                                    "location",
                                    "strict-transport-security",
                                    "access-control-allow-origin",
                                    "www-authenticate",
                                    "keep-alive",
                                    "x"};
static const char *const values[] = {"",
                                     "POST",
                                     "GET",
                                     "/",
                                     "/helloworld.Greeter/SayHello",
                                     "/chat.Room/Join",
                                     "http",
                                     "https",
                                     "200",
                                     "404",
                                     "503",
                                     "application/grpc",
                                     "application/grpc+proto",
                                     "trailers",
                                     "0",
                                     "5",
                                     "gzip, deflate",
                                     "identity,deflate,gzip",
                                     "caw/0.1.0",
                                     "grpc-go/1.60",
                                     "127.0.0.1:50051",
                                     "10S",
                                     "not%20found",
                                     "a value with spaces "};

#define PICK(list, dice) list[dice_below(dice, sizeof(list) / sizeof(list[0]))]

/* Text of the list that is being made. */
static char *text_take(size_t len) {
  MUST(len <= BLOCK_MAX - text_len);
  text_len += len;
  return text + text_len - len;
}

/* Random text: letters, digits, or any bytes; mostly short. */
static caw_str roll_text(dice *d) {
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_/.ABC%";
  size_t most = dice_below(d, 40) ? 24 : dice_below(d, 20) ? 300 : 6000;
  size_t len = dice_below(d, most), kind = dice_below(d, 8);
  char *to = text_take(len);
  for (size_t i = 0; i < len; i++)
    to[i] = kind == 0   ? (char)dice_roll(d)
            : kind <= 2 ? (char)('0' + dice_below(d, 10))
                        : plain[dice_below(d, sizeof(plain) - 1)];
  return caw_str_of(to, len);
}

static caw_str roll_name(dice *d) {
  if (dice_below(d, 12)) return caw_str_from(PICK(names, d));
  if (dice_below(d, 3)) return hpack_static[dice_below(d, HPACK_STATIC)].name;
  return roll_text(d);
}

static caw_str roll_value(dice *d) {
  if (dice_below(d, 4)) return caw_str_from(PICK(values, d));
  if (!dice_below(d, 5)) return hpack_static[dice_below(d, HPACK_STATIC)].value;
  return roll_text(d);
}

static size_t roll_list(dice *d, h2_field *f) {
  size_t n = dice_below(d, FIELDS_MAX);
  text_len = 0;
  for (size_t i = 0; i < n; i++) {
    f[i] = (h2_field){.name = roll_name(d), .value = roll_value(d)};
    if (dice_below(d, 2)) f[i].token = (uint8_t)h2_token_of(f[i].name);
    if (!dice_below(d, 10)) f[i].flags |= H2_FIELD_SECRET;
  }
  return n;
}

static uint32_t roll_table(dice *d) {
  static const uint32_t sizes[] = {0, 31, 32, 60, 100, 256, 1000, 4095, 4096, 4097, 10000, 65536};
  return dice_below(d, 2) ? PICK(sizes, d) : (uint32_t)dice_below(d, 5000);
}

/* A connection whose other end is ours or nghttp2's, with a decoder of each. */
typedef struct lane {
  bool from_us;
  bool damaged; /* the encoder's table may no longer be the decoders' */
  hpack_encoder e;
  nghttp2_hd_deflater *deflater;
  hpack_decoder d;
  nghttp2_hd_inflater *inflater;
  cells cells;
} lane;

static void lane_open(lane *l, bool from_us, dice *d) {
  memset(l, 0, sizeof(*l));
  l->from_us = from_us;
  hpack_encoder_init(&l->e, &l->cells);
  hpack_decoder_init(&l->d, 65536, &l->cells);
  MUST(nghttp2_hd_deflate_new(&l->deflater, dice_below(d, 2) ? 4096 : roll_table(d)) == 0);
  MUST(nghttp2_hd_inflate_new(&l->inflater) == 0);
}

static void lane_close(lane *l) {
  hpack_encoder_finish(&l->e);
  hpack_decoder_finish(&l->d);
  nghttp2_hd_deflate_del(l->deflater);
  nghttp2_hd_inflate_del(l->inflater);
  cells_finish(&l->cells);
}

/* SETTINGS that change the table's size, once or twice between two blocks. */
static void lane_sizes(lane *l, dice *d) {
  if (dice_below(d, 8)) return;
  for (size_t i = 1 + dice_below(d, 3); i > 0; i--) {
    uint32_t bytes = roll_table(d);
    hpack_decoder_allow(&l->d, bytes);
    MUST(nghttp2_hd_inflate_change_table_size(l->inflater, bytes) == 0);
    hpack_encoder_limit(&l->e, bytes);
    MUST(nghttp2_hd_deflate_change_table_size(l->deflater, bytes) == 0);
  }
}

static bool is_secret(const h2_field *f) {
  unsigned t = h2_token_of(f->name);
  return f->flags & H2_FIELD_SECRET || t == H2_T_AUTHORIZATION || t == H2_T_PROXY_AUTHORIZATION ||
         t == H2_T_COOKIE || t == H2_T_SET_COOKIE;
}

static size_t encode_ours(lane *l, const h2_field *f, size_t n) {
  size_t bound = hpack_bound(f, n);
  MUST(bound <= BLOCK_MAX);
  size_t len = hpack_encode(&l->e, block, f, n);
  MUST(len <= bound);
  heard_clear(&sent);
  sent.fine = true;
  for (size_t i = 0; i < n; i++) heard_field(&sent, f[i].name, f[i].value, is_secret(&f[i]));
  return len;
}

static size_t encode_theirs(lane *l, const h2_field *f, size_t n) {
  nghttp2_nv nv[FIELDS_MAX];
  for (size_t i = 0; i < n; i++)
    nv[i] = (nghttp2_nv){(uint8_t *)f[i].name.data, (uint8_t *)f[i].value.data, f[i].name.len,
                         f[i].value.len,
                         f[i].flags & H2_FIELD_SECRET ? NGHTTP2_NV_FLAG_NO_INDEX
                                                      : NGHTTP2_NV_FLAG_NONE};
  ssize_t len = nghttp2_hd_deflate_hd(l->deflater, block, BLOCK_MAX, nv, n);
  MUST(len >= 0);
  return (size_t)len;
}

/* Damages a block here and there. */
static size_t damage(size_t len, dice *d) {
  for (size_t i = 1 + dice_below(d, 3); i > 0 && len; i--) {
    size_t at = dice_below(d, len);
    switch (dice_below(d, 5)) {
    case 0:
      block[at] ^= (uint8_t)(1U << dice_below(d, 8));
      break;
    case 1:
      block[at] = (uint8_t)dice_roll(d);
      break;
    case 2:
      memmove(block + at, block + at + 1, len - at - 1);
      len--;
      break;
    case 3:
      memmove(block + at + 1, block + at, len - at);
      block[at] = dice_below(d, 2) ? 0xff : (uint8_t)dice_roll(d);
      len++;
      break;
    default:
      if (!dice_below(d, 4)) len = at;
      break;
    }
  }
  return len;
}

static size_t roll_bytes(dice *d) {
  size_t len = dice_below(d, 40);
  for (size_t i = 0; i < len; i++) {
    block[i] = (uint8_t)dice_roll(d);
    /* Short strings more often than chance would have them. */
    if (dice_below(d, 2)) block[i] &= 0x87;
  }
  return len;
}

static void fail_list(const char *what, size_t number, size_t len) {
  fprintf(stderr, "list %zu: %s; %zu bytes:", number, what, len);
  for (size_t i = 0; i < len && i < 400; i++) fprintf(stderr, " %02x", block[i]);
  fputc('\n', stderr);
  heard_print("sent", &sent);
  heard_print("ours", &ours);
  heard_print("nghttp2's", &theirs);
  must_fail("the same was heard", __FILE__, __LINE__);
}

static unsigned roll_cut(dice *d) {
  size_t how = dice_below(d, 8);
  return how < 4 ? CUT_NOT : how == 4 ? CUT_ALL : (unsigned)(2 + dice_below(d, 1000000));
}

/* One block over one lane; true: it goes on. */
static bool exchange(lane *l, size_t number, dice *d) {
  h2_field f[FIELDS_MAX];
  size_t len, kind = dice_below(d, 8);
  lane_sizes(l, d);
  size_t n = roll_list(d, f);
  if (kind >= 5) l->damaged = true;
  bool honest = !l->damaged;
  len = kind == 7 ? roll_bytes(d) : l->from_us ? encode_ours(l, f, n) : encode_theirs(l, f, n);
  if (kind == 5 || kind == 6) len = damage(len, d);
  ours_hear(&ours, &l->d, block, len, roll_cut(d));
  theirs_hear(&theirs, l->inflater, block, len);
  if (!honest && too_many_updates(block, len)) {
    if (ours.fine || ours.count) fail_list("three updates", number, len);
    updates_refused++;
    return false;
  }
  if (!heard_same(&ours, &theirs)) fail_list("ours and nghttp2's", number, len);
  if (honest && l->from_us && !heard_same(&ours, &sent)) fail_list("sent and ours", number, len);
  if (honest && !ours.fine) fail_list("refused", number, len);
  return ours.fine;
}

static void random_lists(void **state) {
  (void)state;
  const char *asked = getenv("CAW_HPACK_LISTS");
  size_t lists = asked ? strtoul(asked, NULL, 10) : 60000;
  dice d = {20240607};
  lane l;
  size_t refused = 0, lanes = 0, fields = 0;
  bool open = false;
  for (size_t i = 0; i < lists; i++) {
    if (!open) lane_open(&l, lanes++ & 1, &d);
    open = exchange(&l, i, &d);
    refused += !ours.fine;
    fields += ours.count;
    if (open && dice_below(&d, 64)) continue;
    lane_close(&l);
    open = false;
  }
  if (open) lane_close(&l);
  print_message("%zu lists, %zu fields, %zu connections, %zu lists refused\n", lists, fields, lanes,
                refused);
  assert_true(refused > lists / 20 && refused < lists / 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_lists),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
