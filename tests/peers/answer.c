/* The parts of answer.h. */
#include "answer.h"

static int fill(peer_answer *out, int32_t size, int64_t index, caw_arena *arena) {
  unsigned char *data = caw_arena_alloc(arena, (size_t)size);
  if (!data) return CAW_ENOMEM;
  for (int32_t i = 0; i < size; i++) data[i] = (unsigned char)(index + i);
  out->data = caw_str_of((const char *)data, (size_t)size);
  return 0;
}

static int send_metadata_back(caw_call *call) {
  const caw_metadata *m = caw_call_metadata(call);
  for (size_t i = 0; i < m->len; i++) {
    const caw_metadata_entry *e = &m->entries[i];
    if (e->key.len < 2 || memcmp(e->key.data, "x-", 2)) continue;
    int rc = caw_call_add_header(call, e->key, e->value);
    if (!rc) rc = caw_call_add_trailer(call, e->key, e->value);
    if (rc) return rc;
  }
  return 0;
}

int progress_begin(progress *p, caw_call *call, const peer_order *first, bool copy) {
  caw_arena *arena = caw_call_arena(call);
  uint64_t left = caw_call_time_left(call);
  p->order = *first;
  if (copy) {
    p->order.text = caw_arena_dup(arena, first->text);
    p->order.data = caw_arena_dup(arena, first->data);
    p->order.id = caw_str_of(NULL, 0);
    p->order.event = caw_str_of(NULL, 0);
    if (!p->order.text.data || !p->order.data.data) return CAW_ENOMEM;
  }
  p->seen.time_left_ms = left == UINT64_MAX ? -1 : (int64_t)(left / 1000000);
  p->seen.user_agent = caw_metadata_get(caw_call_metadata(call), "user-agent");
  p->seen.authority = caw_call_authority(call);
  p->seen.peer = caw_call_peer(call);
  int rc = first->metadata ? send_metadata_back(call) : 0;
  if (!rc && first->headers_now) rc = caw_call_send_headers(call);
  p->note = note_get(first->id);
  peer_answer known = {.time_left_ms = p->seen.time_left_ms};
  note_event(p->note, EVENT_STARTED, &known);
  return rc;
}

void progress_request(progress *p, const peer_order *order) {
  p->seen.requests++;
  p->seen.bytes += (int64_t)order->data.len;
  if (order->index && order->index != p->index + 1) p->seen.disorder = true;
  p->index = order->index;
}

int progress_answer(const progress *p, peer_answer *out, int64_t index, caw_arena *arena) {
  memset(out, 0, sizeof(*out));
  if (!p->order.size) {
    *out = p->seen;
    out->data = p->order.data;
  }
  out->index = index;
  return p->order.size ? fill(out, p->order.size, index, arena) : 0;
}

int progress_echo(const peer_order *order, peer_answer *out, int64_t index, caw_arena *arena) {
  memset(out, 0, sizeof(*out));
  out->index = index;
  out->data = order->data;
  return order->size ? fill(out, order->size, index, arena) : 0;
}
