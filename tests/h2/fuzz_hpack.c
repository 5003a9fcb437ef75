/*
 * HPACK hears anything at all (libFuzzer), beside nghttp2. The input is a list of
 * steps: a change of the table's size; a block for both decoders, in cuts; or
 * fields for our encoder, whose block both decoders read.
 */
#include "hpack_rig.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_BLOCK, STEP_FIELDS, STEP_SIZE, STEP_TRIM, STEPS };

/* Two decoders that hear the same. */
typedef struct ears {
  hpack_decoder ours;
  nghttp2_hd_inflater *theirs;
} ears;

typedef struct input {
  const uint8_t *at;
  size_t left;
} input;

static heard sent, ours, theirs;

static uint8_t take(input *in) {
  if (!in->left) return 0;
  in->left--;
  return *in->at++;
}

static caw_str take_text(input *in, size_t len) {
  if (len > in->left) len = in->left;
  caw_str text = {(const char *)in->at, len};
  in->at += len;
  in->left -= len;
  return text;
}

static void open_ears(ears *e) {
  hpack_decoder_init(&e->ours, 65536, NULL);
  MUST(nghttp2_hd_inflate_new(&e->theirs) == 0);
}

static void close_ears(ears *e) {
  hpack_decoder_finish(&e->ours);
  nghttp2_hd_inflate_del(e->theirs);
}

static void resize_ears(ears *e, uint32_t bytes) {
  hpack_decoder_allow(&e->ours, bytes);
  MUST(nghttp2_hd_inflate_change_table_size(e->theirs, bytes) == 0);
}

/* False: the connection is over. */
static bool hear(ears *e, const uint8_t *block, size_t len, unsigned cut) {
  ours_hear(&ours, &e->ours, block, len, cut);
  if (too_many_updates(block, len)) {
    MUST(!ours.fine && ours.count == 0);
    return false;
  }
  theirs_hear(&theirs, e->theirs, block, len);
  if (!heard_same(&ours, &theirs)) {
    heard_print("ours", &ours);
    heard_print("nghttp2's", &theirs);
    must_fail("the same was heard", __FILE__, __LINE__);
  }
  return ours.fine;
}

static bool step_block(ears *e, input *in, unsigned how) {
  size_t len = take(in);
  if (how & 1) len = len << 8 | take(in);
  caw_str block = take_text(in, len);
  return hear(e, (const uint8_t *)block.data, block.len, how >> 1 & 7);
}

static void step_fields(ears *e, hpack_encoder *encoder, input *in, unsigned how) {
  h2_field fields[8];
  size_t n = 1 + (how & 7);
  heard_clear(&sent);
  sent.fine = true;
  for (size_t i = 0; i < n; i++) {
    uint8_t flags = take(in);
    fields[i] = (h2_field){.flags = flags & 0x80 ? H2_FIELD_SECRET : 0};
    fields[i].name = take_text(in, flags & 0x1f);
    if (flags & 0x40) fields[i].token = (uint8_t)h2_token_of(fields[i].name);
    fields[i].value = take_text(in, take(in));
    unsigned t = h2_token_of(fields[i].name);
    bool secret = flags & 0x80 || t == H2_T_AUTHORIZATION || t == H2_T_PROXY_AUTHORIZATION ||
                  t == H2_T_COOKIE || t == H2_T_SET_COOKIE;
    heard_field(&sent, fields[i].name, fields[i].value, secret);
  }
  size_t bound = hpack_bound(fields, n);
  uint8_t *block = malloc(bound);
  MUST(block);
  size_t len = hpack_encode(encoder, block, fields, n);
  MUST(len <= bound);
  MUST(hear(e, block, len, how & 7));
  MUST(heard_same(&ours, &sent));
  MUST(encoder->table.bytes == e->ours.table.bytes && encoder->table.len == e->ours.table.len);
  free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
  input in = {data, len};
  ears stranger, friend;
  hpack_encoder encoder;
  open_ears(&stranger);
  open_ears(&friend);
  hpack_encoder_init(&encoder, NULL);
  bool open = true;
  while (in.left && open) {
    unsigned step = take(&in);
    switch (step % STEPS) {
    case STEP_BLOCK:
      open = step_block(&stranger, &in, step / STEPS);
      break;
    case STEP_FIELDS:
      step_fields(&friend, &encoder, &in, step / STEPS);
      break;
    case STEP_SIZE: {
      uint32_t bytes = take(&in);
      if (step / STEPS & 1) bytes = bytes << 8 | take(&in);
      resize_ears(&stranger, bytes);
      resize_ears(&friend, bytes);
      hpack_encoder_limit(&encoder, bytes);
      break;
    }
    default:
      hpack_decoder_trim(&stranger.ours);
      break;
    }
  }
  hpack_encoder_finish(&encoder);
  close_ears(&stranger);
  close_ears(&friend);
  return 0;
}
