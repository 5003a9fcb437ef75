/*
 * The checksum of a message's row, over all of it and its place. It is to find damage, not
 * malice: 64 bits of SipHash with a key that everybody knows.
 */
#include "sqlite.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

static uint8_t *put(uint8_t *at, int64_t value) {
  const uint64_t bytes = htole64((uint64_t)value);
  memcpy(at, &bytes, sizeof(bytes));
  return at + sizeof(bytes);
}

static uint8_t *put_sum(uint8_t *at, const uint8_t *data, size_t len) {
  static const uint8_t key[crypto_shorthash_KEYBYTES] = "chatd's messages";
  crypto_shorthash(at, data, len, key);
  return at + crypto_shorthash_BYTES;
}

/* A text's length and hash stand for it: each sum is of few bytes then. */
static uint8_t *put_text_sum(uint8_t *at, caw_str text) {
  at = put(at, (int64_t)text.len);
  return text.len ? put_sum(at, (const uint8_t *)text.data, text.len) : at;
}

static int64_t taken(const uint8_t *bytes) {
  uint64_t sum;
  memcpy(&sum, bytes, sizeof(sum));
  return (int64_t)le64toh(sum);
}

int64_t sum_of(const store_message *m) {
  uint8_t all[12 * 8], out[8], *at = all;
  at = put(at, m->room_id);
  at = put(at, m->number);
  at = put(at, m->author_id);
  at = put(at, m->sent);
  at = put(at, m->kind);
  at = put(at, m->reply_to);
  at = put_text_sum(at, m->client_id);
  at = put_text_sum(at, m->guest_name);
  at = put_text_sum(at, m->text);
  put_sum(out, all, (size_t)(at - all));
  return taken(out);
}

/* ---- Before version 3 of the tables ---- */

static void add_int(crypto_generichash_state *h, int64_t value) {
  uint8_t bytes[8];
  put(bytes, value);
  crypto_generichash_update(h, bytes, sizeof(bytes));
}

static void add_text(crypto_generichash_state *h, caw_str text) {
  add_int(h, (int64_t)text.len);
  if (text.len) crypto_generichash_update(h, (const uint8_t *)text.data, text.len);
}

/* BLAKE2b, which took a tenth of all that a message costs. */
static int64_t old_sum_of(const store_message *m) {
  crypto_generichash_state h;
  uint8_t out[16];
  crypto_generichash_init(&h, NULL, 0, sizeof(out));
  add_int(&h, m->room_id);
  add_int(&h, m->number);
  add_int(&h, m->author_id);
  add_int(&h, m->sent);
  add_int(&h, m->kind);
  add_int(&h, m->reply_to);
  add_text(&h, m->client_id);
  add_text(&h, m->guest_name);
  add_text(&h, m->text);
  crypto_generichash_final(&h, out, sizeof(out));
  return taken(out);
}

bool is_sum_of(const store_message *m, int64_t sum) {
  return sum == sum_of(m) || sum == old_sum_of(m);
}
