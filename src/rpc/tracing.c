/* The rules of tracing.h: W3C Trace Context, level 1, with the keys of level 2. */
#include "rpc/tracing.h"

#define MOST_MEMBERS 32 /* of tracestate, 3.3.1.1 */
#define KEY_MOST     256
#define VALUE_MOST   256

#define PARENT_LEN 55 /* version-traceid-parentid-flags: 2, 32, 16, 2 digits and three dashes */

/* ---- traceparent ---- */

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

/* Lower-case hexadecimal digits; *zero: only zeros. */
static bool is_hex(const char *p, size_t n, bool *zero) {
  *zero = true;
  for (size_t i = 0; i < n; i++) {
    if (!is_digit(p[i]) && !(p[i] >= 'a' && p[i] <= 'f')) return false;
    if (p[i] != '0') *zero = false;
  }
  return true;
}

bool rpc_traceparent_valid(caw_str t) {
  bool zero;
  const char *p = t.data;
  if (t.len < PARENT_LEN || p[2] != '-' || p[35] != '-' || p[52] != '-') return false;
  if (!is_hex(p, 2, &zero) || !memcmp(p, "ff", 2)) return false;
  if (zero ? t.len != PARENT_LEN : t.len > PARENT_LEN && p[PARENT_LEN] != '-') return false;
  if (!is_hex(p + 3, 32, &zero) || zero) return false;
  if (!is_hex(p + 36, 16, &zero) || zero) return false;
  return is_hex(p + 53, 2, &zero);
}

bool rpc_traceparent(const caw_metadata *m, caw_str *traceparent) {
  size_t at = 0;
  caw_str another;
  return caw_metadata_find(m, "traceparent", &at, traceparent) &&
         !caw_metadata_find(m, "traceparent", &at, &another) && rpc_traceparent_valid(*traceparent);
}

/* ---- tracestate ---- */

static bool key_valid(caw_str key) {
  if (!key.len || key.len > KEY_MOST || !(is_lower(key.data[0]) || is_digit(key.data[0])))
    return false;
  for (size_t i = 0; i < key.len; i++) {
    char c = key.data[i];
    if (!is_lower(c) && !is_digit(c) && !memchr("_-*/@", c, 5)) return false;
  }
  return true;
}

/* Printable, without ',' and '=', and the last is no space, which was cut off. */
static bool value_valid(caw_str value) {
  if (!value.len || value.len > VALUE_MOST) return false;
  for (size_t i = 0; i < value.len; i++) {
    char c = value.data[i];
    if (c < ' ' || c > '~' || c == ',' || c == '=') return false;
  }
  return true;
}

static caw_str trim(caw_str s) {
  while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) s = caw_str_of(s.data + 1, s.len - 1);
  while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t')) s.len--;
  return s;
}

/* Members may be empty, which do not count. */
static bool members_valid(caw_str list, unsigned *members) {
  for (;;) {
    const char *comma = list.len ? memchr(list.data, ',', list.len) : NULL;
    caw_str one = trim(caw_str_of(list.data, comma ? (size_t)(comma - list.data) : list.len));
    const char *equals = one.len ? memchr(one.data, '=', one.len) : NULL;
    if (one.len) {
      if (!equals || ++*members > MOST_MEMBERS) return false;
      size_t n = (size_t)(equals - one.data);
      if (!key_valid(caw_str_of(one.data, n))) return false;
      if (!value_valid(caw_str_of(equals + 1, one.len - n - 1))) return false;
    }
    if (!comma) return true;
    size_t skip = (size_t)(comma - list.data) + 1;
    list = caw_str_of(list.data + skip, list.len - skip);
  }
}

bool rpc_tracestate_valid(const caw_metadata *m) {
  size_t at = 0;
  unsigned members = 0;
  caw_str value;
  while (caw_metadata_find(m, "tracestate", &at, &value))
    if (!members_valid(value, &members)) return false;
  return members > 0;
}

/* ---- Handing on ---- */

int rpc_trace_pass(rpc_metadata *to, caw_arena *arena, const caw_metadata *from) {
  size_t at = 0;
  caw_str parent, value;
  if (!from->len || caw_metadata_find(&to->list, "traceparent", &at, &value)) return 0;
  if (!rpc_traceparent(from, &parent)) return 0;
  int rc = rpc_metadata_add(to, arena, caw_str_from("traceparent"), parent);
  at = 0;
  bool own = caw_metadata_find(&to->list, "tracestate", &at, &value);
  if (own || !rpc_tracestate_valid(from)) return rc;
  at = 0;
  while (!rc && caw_metadata_find(from, "tracestate", &at, &value))
    rc = rpc_metadata_add(to, arena, caw_str_from("tracestate"), value);
  return rc;
}
