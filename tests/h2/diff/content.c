/* What the peer's header blocks say, decoded by nghttp2's decoder alone. */
#include "diff/inside.h"

#include <string.h>

/* An integer of HPACK; false: it is cut or too large. */
static bool read_int(const uint8_t **p, const uint8_t *end, unsigned bits, uint64_t *n) {
  uint64_t most = (1u << bits) - 1;
  if (*p == end) return false;
  *n = *(*p)++ & most;
  if (*n < most) return true;
  for (unsigned shift = 0; *p < end && shift < 35; shift += 7) {
    *n += (uint64_t)(**p & 127) << shift;
    if (!(*(*p)++ & 128)) return true;
  }
  return false;
}

/* Steps over a string. What Huffman's code unpacks to is at most 8/5 of it. */
static bool skip_text(const diff *d, const uint8_t **p, const uint8_t *end, bool *longer) {
  bool packed = *p < end && **p & 128;
  uint64_t n;
  if (!read_int(p, end, 7, &n)) return false;
  if ((packed ? n * 8 / 5 : n) > d->config.hard_header_bytes) *longer = true;
  if (n > (uint64_t)(end - *p)) return false;
  *p += n;
  return true;
}

static bool has_long_string(const diff *d, const uint8_t *p, const uint8_t *end) {
  bool longer = false;
  uint64_t n;
  while (p < end && !longer) {
    uint8_t kind = *p;
    unsigned bits = kind & 0x80 ? 7 : kind & 0x40 ? 6 : kind & 0x20 ? 5 : 4;
    if (!read_int(&p, end, bits, &n)) break;
    if (kind & 0x80 || (kind & 0xe0) == 0x20) continue;
    if (!n && !skip_text(d, &p, end, &longer)) break;
    if (!skip_text(d, &p, end, &longer)) break;
  }
  return longer;
}

/* Updates of the table's size at the begin. */
static unsigned count_updates(const uint8_t *p, const uint8_t *end) {
  unsigned n = 0;
  uint64_t size;
  while (p < end && (*p & 0xe0) == 0x20 && read_int(&p, end, 5, &size)) n++;
  return n;
}

static bool is_called(const nghttp2_nv *nv, const char *name) {
  return nv->namelen == strlen(name) && memcmp(nv->name, name, nv->namelen) == 0;
}

void content_read(diff *d, const frame *f, size_t len) {
  const uint8_t *p = f->block;
  size_t left = f->block_len;
  content *c = &d->content;
  d->content_at = d->scanned;
  d->content_end = d->scanned + len;
  *c = (content){.long_string = has_long_string(d, p, p + left),
                 .updates = count_updates(p, p + left),
                 .length = -1,
                 .status = -1};
  for (;;) {
    nghttp2_nv nv;
    int flags = 0;
    ssize_t n = nghttp2_hd_inflate_hd2(d->inflater, &nv, &flags, p, left, f->complete);
    if (n < 0) {
      c->broken = true;
      return;
    }
    p += n;
    left -= (size_t)n;
    if (flags & NGHTTP2_HD_INFLATE_EMIT) {
      c->fields++;
      c->bytes += nv.namelen + nv.valuelen + 32;
      c->hosts += is_called(&nv, "host");
      if (c->fields == 1 && is_called(&nv, ":status") && nv.valuelen == 3)
        c->status = (nv.value[0] - '0') * 100 + (nv.value[1] - '0') * 10 + nv.value[2] - '0';
      if (!is_called(&nv, "content-length")) continue;
      c->lengths++;
      c->length = nv.valuelen < 18 ? 0 : -1;
      for (size_t i = 0; i < nv.valuelen && c->length >= 0; i++) {
        bool digit = nv.value[i] >= '0' && nv.value[i] <= '9';
        c->length = digit ? c->length * 10 + nv.value[i] - '0' : -1;
      }
    }
    if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
    if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !left) return;
  }
  nghttp2_hd_inflate_end_headers(d->inflater);
}

bool content_heard(const diff *d) {
  return d->fed > d->content_at;
}

bool content_too_large(const diff *d) {
  return d->content.bytes > d->config.hard_header_bytes ||
         d->content.fields > d->config.hard_header_fields;
}
