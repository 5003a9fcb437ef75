/* The values that a call carries (caw_call_set_value): few, so a list. */
#include "conn/call.h"

#include <caw/alloc.h>

struct call_value {
  call_value *next;
  const caw_key *key;
  void *value;
};

static call_value *find(const caw_call *call, const caw_key *key) {
  call_value *v = call->values;
  while (v && v->key != key) v = v->next;
  return v;
}

int caw_call_set_value(caw_call *call, const caw_key *key, void *value) {
  call_value *v = find(call, key);
  if (v) {
    if (key->destroy && v->value != value) key->destroy(v->value);
    v->value = value;
    return 0;
  }
  v = caw_malloc(sizeof(*v));
  if (!v) return CAW_ENOMEM;
  *v = (call_value){call->values, key, value};
  call->values = v;
  return 0;
}

void *caw_call_value(const caw_call *call, const caw_key *key) {
  const call_value *v = find(call, key);
  return v ? v->value : NULL;
}

void call_free_values(caw_call *call) {
  for (call_value *v = call->values, *next; v; v = next) {
    next = v->next;
    if (v->key->destroy && v->value) v->key->destroy(v->value);
    caw_free(v);
  }
  call->values = NULL;
}
