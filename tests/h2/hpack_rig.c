/* The rig of hpack_rig.h. */
#include "hpack_rig.h"

#include "h2/field_chars.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void must_fail(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: must be: %s\n", file, line, what);
  abort();
}

uint64_t dice_roll(dice *d) {
  uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}

void heard_clear(heard *h) {
  h->fine = false;
  h->result = HPACK_END;
  h->count = h->len = 0;
}

void heard_field(heard *h, caw_str name, caw_str value, bool secret) {
  uint32_t head[3] = {(uint32_t)name.len, (uint32_t)value.len, secret};
  MUST(sizeof(head) + name.len + value.len <= HEARD_BYTES - h->len);
  memcpy(h->said + h->len, head, sizeof(head));
  h->len += sizeof(head);
  if (name.len) memcpy(h->said + h->len, name.data, name.len);
  h->len += name.len;
  if (value.len) memcpy(h->said + h->len, value.data, value.len);
  h->len += value.len;
  h->count++;
}

bool heard_same(const heard *a, const heard *b) {
  return a->fine == b->fine && a->len == b->len && memcmp(a->said, b->said, a->len) == 0;
}

static void print_text(const uint8_t *text, size_t len) {
  for (size_t i = 0; i < len && i < 200; i++)
    if (text[i] >= 0x20 && text[i] < 0x7f && text[i] != '\\') fputc(text[i], stderr);
    else fprintf(stderr, "\\x%02x", text[i]);
}

void heard_print(const char *title, const heard *h) {
  fprintf(stderr, "%s: %s (%d), %zu fields\n", title, h->fine ? "fine" : "refused", (int)h->result,
          h->count);
  for (size_t at = 0; at < h->len;) {
    uint32_t head[3];
    memcpy(head, h->said + at, sizeof(head));
    at += sizeof(head);
    fputs(head[2] ? "  secret " : "  ", stderr);
    print_text(h->said + at, head[0]);
    fputs(": ", stderr);
    print_text(h->said + at + head[0], head[1]);
    fputc('\n', stderr);
    at += head[0] + head[1];
  }
}

/* What must be true of each field that our decoder gives. */
static void check_field(const h2_field *f) {
  MUST(f->token == h2_token_of(f->name));
  bool valid = h2_name_valid(f->name) && h2_value_fits(f->token, f->value);
  MUST(valid == !(f->flags & H2_FIELD_INVALID));
}

/* Fields of one part; returns how much of it was taken, and stops at the first
 * result that is neither a field. */
static size_t hear_part(heard *h, hpack_decoder *d, const uint8_t *part, size_t len, bool last) {
  const uint8_t *p = part, *end = part + len;
  for (;;) {
    h2_field f;
    hpack_decoder before = *d;
    const uint8_t *at = p;
    h->result = hpack_decode(d, &p, end, last, &f);
    MUST(p >= at && p <= end);
    if (h->result == HPACK_MORE) {
      MUST(!last && p < end);
      MUST(p > at || memcmp(&before, d, sizeof(before)) == 0);
    }
    if (h->result == HPACK_END) MUST(p == end);
    if (h->result != HPACK_FIELD) return (size_t)(p - part);
    MUST(p > at);
    check_field(&f);
    heard_field(h, f.name, f.value, f.flags & H2_FIELD_SECRET);
  }
}

void ours_hear(heard *h, hpack_decoder *d, const uint8_t *block, size_t len, unsigned cut) {
  dice rolled = {cut};
  heard_clear(h);
  hpack_decoder_begin(d);
  size_t at = 0, until = 0;
  do {
    size_t more = cut == CUT_NOT   ? len - until
                  : cut == CUT_ALL ? 1
                                   : dice_below(&rolled, dice_below(&rolled, 4) ? 6 : 60);
    until += more < len - until ? more : len - until;
    uint8_t *part = malloc(until - at ? until - at : 1);
    MUST(part);
    if (until > at) memcpy(part, block + at, until - at);
    at += hear_part(h, d, part, until - at, until == len);
    free(part);
  } while (until < len && (h->result == HPACK_MORE || h->result == HPACK_END));
  h->fine = h->result == HPACK_END;
}

void theirs_hear(heard *h, nghttp2_hd_inflater *d, const uint8_t *block, size_t len) {
  heard_clear(h);
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    ssize_t n = nghttp2_hd_inflate_hd2(d, &nv, &flags, block, len, 1);
    if (n < 0) return;
    block += n;
    len -= (size_t)n;
    if (flags & NGHTTP2_HD_INFLATE_EMIT)
      heard_field(h, caw_str_of((const char *)nv.name, nv.namelen),
                  caw_str_of((const char *)nv.value, nv.valuelen),
                  nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
    if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
    MUST(flags & NGHTTP2_HD_INFLATE_EMIT || len);
  }
  h->fine = nghttp2_hd_inflate_end_headers(d) == 0;
}

bool too_many_updates(const uint8_t *block, size_t len) {
  size_t at = 0, updates = 0;
  for (; at < len && (block[at] & 0xe0) == 0x20; updates++)
    if ((block[at++] & 0x1f) == 0x1f)
      while (at < len && block[at++] & 0x80) {
      }
  return updates > 2;
}
