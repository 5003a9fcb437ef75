/* Payloads (caw/payload.h), and the codec of raw bytes (caw/codec.h). */
#include "rpc/payload.h"

#include "rpc/compress.h"

#include <caw/status.h>

static int bytes_measure(const void *desc, const void *message, size_t *len) {
  (void)desc;
  *len = ((const caw_str *)message)->len;
  return 0;
}

static int bytes_encode(const void *desc, const void *message, uint8_t *out, size_t len) {
  (void)desc;
  if (len) memcpy(out, ((const caw_str *)message)->data, len);
  return 0;
}

static int bytes_decode(const void *desc, void *message, const uint8_t *data, size_t len,
                        caw_arena *arena) {
  (void)desc;
  (void)arena;
  *(caw_str *)message = caw_str_of((const char *)data, len);
  return 0;
}

static const caw_codec bytes_codec = {sizeof(caw_codec), NULL, bytes_measure, bytes_encode,
                                      bytes_decode};
const caw_type caw_type_bytes = {&bytes_codec, NULL, sizeof(caw_str)};

/* A payload of `len` bytes that are not there yet. */
static caw_payload *allocate(cells *from, size_t len) {
  caw_payload *p = cells_alloc(from, sizeof(*p) + RPC_PREFIX + len);
  if (!p) return NULL;
  atomic_init(&p->refs, 1);
  atomic_init(&p->formed, NULL);
  p->encoding = CAW_ENCODING_IDENTITY;
  p->next = NULL;
  p->from = from;
  return p;
}

static void write_prefix(caw_payload *p, uint8_t flag, size_t len) {
  p->len = len;
  p->bytes[0] = flag;
  for (int i = 0; i < 4; i++) p->bytes[1 + i] = (uint8_t)(len >> (24 - 8 * i));
}

int rpc_payload_new(caw_payload **out, cells *from, const caw_type *type, const void *message) {
  size_t len = 0;
  int rc = type->codec->measure(type->desc, message, &len);
  if (rc) return rc;
  if (len > UINT32_MAX) return CAW_ETOOBIG;
  caw_payload *p = allocate(from, len);
  if (!p) return CAW_ENOMEM;
  write_prefix(p, 0, len);
  rc = type->codec->encode(type->desc, message, p->bytes + RPC_PREFIX, len);
  if (rc) {
    cells_free(from, p);
    return rc;
  }
  *out = p;
  return 0;
}

int caw_payload_new(caw_payload **out, const caw_type *type, const void *message) {
  return rpc_payload_new(out, NULL, type, message);
}

caw_payload *caw_payload_ref(caw_payload *p) {
  atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
  return p;
}

void caw_payload_unref(caw_payload *p) {
  if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
  caw_payload *form = atomic_load_explicit(&p->formed, memory_order_relaxed);
  cells_free(p->from, p);
  while (form) { /* a form has no forms: one level */
    caw_payload *next = form->next;
    if (atomic_fetch_sub_explicit(&form->refs, 1, memory_order_acq_rel) == 1)
      cells_free(NULL, form);
    form = next;
  }
}

/* ---- Compressed forms ---- */

static caw_payload *find_form(caw_payload *form, caw_encoding encoding) {
  while (form && form->encoding != encoding) form = form->next;
  return form;
}

/* Makes the form; an empty one stands for "it would not be smaller". */
static int make_form(caw_payload **out, const caw_payload *p, caw_encoding encoding) {
  caw_payload *form = p->len ? allocate(NULL, p->len - 1) : NULL;
  size_t len = 0;
  if (!form) return CAW_ENOMEM;
  int rc = rpc_compress(encoding, p->bytes + RPC_PREFIX, p->len, form->bytes + RPC_PREFIX,
                        p->len - 1, &len);
  if (rc == CAW_ETOOBIG) len = 0;
  if (rc == CAW_ENOMEM) {
    cells_free(NULL, form);
    return rc;
  }
  caw_payload *fitting = cells_realloc(NULL, form, sizeof(*form) + RPC_PREFIX + len);
  if (fitting) form = fitting;
  form->encoding = encoding;
  form->plain = p->len;
  write_prefix(form, 1, len);
  *out = form;
  return 0;
}

/* Adds a form to the list that began with `first` when it was last seen, unless
 * another thread has added one of its encoding; returns the one that is there. */
static caw_payload *keep_form(caw_payload *p, caw_payload *first, caw_payload *made) {
  do {
    caw_payload *others = find_form(first, made->encoding);
    if (others) {
      cells_free(NULL, made);
      return others;
    }
    made->next = first;
  } while (!atomic_compare_exchange_weak_explicit(&p->formed, &first, made, memory_order_acq_rel,
                                                  memory_order_acquire));
  return made;
}

int rpc_payload_compressed(caw_payload **out, caw_payload *p, caw_encoding encoding) {
  *out = p;
  if (!p->len) return 0;
  caw_payload *first = atomic_load_explicit(&p->formed, memory_order_acquire);
  caw_payload *form = find_form(first, encoding), *made = NULL;
  if (!form) {
    int rc = make_form(&made, p, encoding);
    if (rc) return rc;
    form = made;
  }
  if (made) form = keep_form(p, first, made);
  if (form->len) *out = form;
  return 0;
}

caw_str caw_payload_bytes(const caw_payload *p) {
  return caw_str_of((const char *)p->bytes + RPC_PREFIX, p->len);
}

static void release(void *owner) {
  caw_payload_unref(owner);
}

slice rpc_payload_slice(caw_payload *p) {
  slice s = {p->bytes, RPC_PREFIX + p->len, release, caw_payload_ref(p)};
  return s;
}
