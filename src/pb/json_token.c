/*
 * The tokens of JSON (RFC 8259): white space, strings, numbers, words, and the
 * punctuation of objects and arrays. Nothing here knows about messages.
 */
#include "pb/json.h"
#include "pb/number.h"

#include <caw/status.h>

/* -- errors -------------------------------------------------------------- */

static void set_place(json_reader *r, const char *at) {
  caw_json_error *e = r->error;
  e->offset = (size_t)(at - r->begin);
  e->line = e->column = 1;
  for (const char *p = r->begin; p < at; p++) {
    if (*p == '\n') {
      e->line++;
      e->column = 1;
    } else if (((uint8_t)*p & 0xc0) != 0x80) {
      e->column++;
    }
  }
}

bool json_fail(json_reader *r, int err, const char *at, const char *format, ...) {
  if (r->err) return false;
  r->err = err;
  if (!r->error) return false;
  set_place(r, at);
  va_list args;
  va_start(args, format);
  json_error_fill(r->error, r->at, format, args);
  va_end(args);
  return false;
}

static const char *name_of(char c) {
  switch (c) {
  case '{':
    return "an object";
  case '[':
    return "an array";
  case '"':
    return "a string";
  case '}':
    return "\"}\"";
  case ']':
    return "\"]\"";
  case ',':
    return "\",\"";
  case ':':
    return "\":\"";
  case 't':
    return "true";
  case 'f':
    return "false";
  case 'n':
    return "null";
  default:
    return c == '-' || (c >= '0' && c <= '9') ? "a number" : "something that is not JSON";
  }
}

bool json_expected(json_reader *r, const char *wanted) {
  char c = json_peek(r);
  return json_fail(r, CAW_EJSON, r->p, "expected %s, found %s", wanted,
                   r->p == r->end ? "the end of the text" : name_of(c));
}

void *json_take(json_reader *r, size_t bytes) {
  /* What the arena rounds up to. Nothing is charged too, as it gets an address. */
  size_t charge = bytes ? (bytes + 15) & ~(size_t)15 : 16;
  void *p = NULL;
  if (charge >= bytes && charge <= r->budget) p = caw_arena_alloc(r->arena, bytes);
  if (p) r->budget -= charge;
  else json_fail(r, CAW_ENOMEM, r->p, "out of memory, or of what this text may take");
  return p;
}

void *json_take_zeroed(json_reader *r, size_t bytes) {
  void *p = json_take(r, bytes);
  if (p) memset(p, 0, bytes);
  return p;
}

void *json_take_array(json_reader *r, size_t count, size_t size) {
  /* More than the budget can be: refused there. */
  return json_take(r, count <= SIZE_MAX / size ? count * size : SIZE_MAX);
}

/* -- tokens -------------------------------------------------------------- */

char json_peek(json_reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')) r->p++;
  return r->p < r->end ? *r->p : '\0';
}

bool json_take_char(json_reader *r, char c) {
  if (json_peek(r) != c || r->p == r->end) return false;
  r->p++;
  return true;
}

bool json_word(json_reader *r, const char *word) {
  size_t len = strlen(word);
  json_peek(r);
  if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0) {
    return json_fail(r, CAW_EJSON, r->p, "expected %s", word);
  }
  r->p += len;
  return true;
}

bool json_number(json_reader *r, caw_str *out) {
  json_peek(r);
  size_t len = pb_number_scan(caw_str_of(r->p, (size_t)(r->end - r->p)));
  if (!len) return json_fail(r, CAW_EJSON, r->p, "not a number as JSON writes them");
  *out = caw_str_of(r->p, len);
  r->p += len;
  return true;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at p, or -1. */
static int32_t hex4(const char *p, const char *end) {
  int32_t v = 0;
  if (end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int digit = hex_digit(p[i]);
    if (digit < 0) return -1;
    v = 16 * v + digit;
  }
  return v;
}

static char *put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    *out++ = (char)c;
    return out;
  }
  int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
  *out++ = (char)(lead[more] | c >> (6 * more));
  while (more-- > 0) *out++ = (char)(0x80 | (c >> (6 * more) & 0x3f));
  return out;
}

/* The character of \uXXXX, p being behind the "u"; a surrogate takes its pair
 * along. Returns where the text goes on, NULL on an error. */
static const char *unescape_unicode(json_reader *r, const char *p, const char *end, uint32_t *c) {
  int32_t high = hex4(p, end);
  if (high < 0) {
    json_fail(r, CAW_EJSON, p - 2, "\\u wants four hexadecimal digits");
    return NULL;
  }
  *c = (uint32_t)high;
  if ((high & 0xf800) != 0xd800) return p + 4;
  int32_t low =
      high < 0xdc00 && end - p >= 6 && p[4] == '\\' && p[5] == 'u' ? hex4(p + 6, end) : -1;
  if (low < 0xdc00 || low > 0xdfff) {
    json_fail(r, CAW_EJSON, p - 2, "half of a surrogate pair");
    return NULL;
  }
  *c = 0x10000 + (((uint32_t)high & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
  return p + 10;
}

/* Writes the text p .. end with its escapes resolved to `out`, which is never
 * longer, and returns its length; with NULL only checks. */
static size_t unescape(json_reader *r, const char *p, const char *end, char *out) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  size_t len = 0;
  char bytes[4];
  while (p < end) {
    const char *slash = memchr(p, '\\', (size_t)(end - p)), *plain = slash ? slash : end;
    if (out) memcpy(out + len, p, (size_t)(plain - p));
    len += (size_t)(plain - p);
    if (!slash) break;
    const char *known = memchr(from, slash[1], sizeof(from) - 1);
    size_t n = 1;
    p = slash + 2;
    if (known) {
      bytes[0] = to[known - from];
    } else if (slash[1] == 'u') {
      uint32_t c;
      p = unescape_unicode(r, p, end, &c);
      if (!p) return 0;
      n = (size_t)(put_utf8(bytes, c) - bytes);
    } else {
      json_fail(r, CAW_EJSON, slash, "no such escape in JSON");
      return 0;
    }
    if (out) memcpy(out + len, bytes, n);
    len += n;
  }
  return len;
}

/* Takes a string, which is next, without its quotes; says whether it has
 * escapes, which are left as they are. */
static bool take_quoted(json_reader *r, caw_str *out, bool *escapes) {
  if (json_peek(r) != '"') return json_expected(r, "a string");
  const char *start = r->p, *p = start + 1;
  *escapes = false;
  for (; p < r->end && *p != '"'; p++) {
    if ((uint8_t)*p < 0x20) return json_fail(r, CAW_EJSON, p, "control character in a string");
    if (*p != '\\') continue;
    *escapes = true;
    if (++p == r->end) break;
  }
  if (p >= r->end) return json_fail(r, CAW_EJSON, start, "string without an end");
  *out = caw_str_of(start + 1, (size_t)(p - start - 1));
  if (!pb_utf8_valid((const uint8_t *)out->data, out->len))
    return json_fail(r, CAW_EUTF8, start, "string that is not UTF-8");
  r->p = p + 1;
  return true;
}

bool json_string(json_reader *r, caw_str *out) {
  bool escapes;
  if (!take_quoted(r, out, &escapes)) return false;
  if (!escapes) return true;
  char *text = json_take(r, out->len);
  if (!text) return false;
  *out = caw_str_of(text, unescape(r, out->data, out->data + out->len, text));
  return !r->err;
}

/* -- objects and arrays -------------------------------------------------- */

bool json_object(json_reader *r, const char *wanted) {
  return json_take_char(r, '{') || json_expected(r, wanted);
}

/* What stands before the name of a member. False at the end of the object. */
static bool next_member(json_reader *r, size_t *count) {
  if (r->err || json_take_char(r, '}')) return false;
  if (*count && !json_take_char(r, ',')) return json_expected(r, "\",\" or \"}\"");
  ++*count;
  return json_peek(r) == '"' || json_expected(r, "the name of a member");
}

static bool take_colon(json_reader *r) {
  return json_take_char(r, ':') || json_expected(r, "\":\"");
}

bool json_member(json_reader *r, size_t *count, caw_str *name, const char **name_at) {
  if (!next_member(r, count)) return false;
  if (name_at) *name_at = r->p;
  return json_string(r, name) && take_colon(r);
}

bool json_pass_member(json_reader *r, size_t *count, const char *name, bool *same) {
  caw_str s;
  bool escapes;
  char plain[JSON_PASSED * 6];
  if (!next_member(r, count) || !take_quoted(r, &s, &escapes)) return false;
  if (escapes) {
    /* A character takes at most six bytes: what does not fit is another name. */
    char *out = s.len <= sizeof(plain) ? plain : NULL;
    size_t len = unescape(r, s.data, s.data + s.len, out);
    if (r->err) return false;
    s = caw_str_of(out ? out : "", out ? len : 0);
  }
  *same = name && caw_str_is(s, name);
  return take_colon(r);
}

bool json_array(json_reader *r) {
  return json_take_char(r, '[') || json_expected(r, "an array");
}

bool json_element(json_reader *r, size_t *count) {
  if (r->err || json_take_char(r, ']')) return false;
  if (*count && !json_take_char(r, ',')) return json_expected(r, "\",\" or \"]\"");
  ++*count;
  return true;
}

/* -- skipping ------------------------------------------------------------ */

/* A value that is no object or array, with its mistakes but without memory. */
static bool skip_plain(json_reader *r) {
  caw_str s;
  bool escapes;
  switch (json_peek(r)) {
  case '"':
    if (take_quoted(r, &s, &escapes) && escapes) unescape(r, s.data, s.data + s.len, NULL);
    return !r->err;
  case 't':
    return json_word(r, "true");
  case 'f':
    return json_word(r, "false");
  case 'n':
    return json_word(r, "null");
  default:
    if (r->p < r->end && (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')))
      return json_number(r, &s);
    return json_expected(r, "a value");
  }
}

/* Without memory, as this may be passed over again and again (find_type in
 * json_read_wkt.c), and without recursion: what is open is an object or not, one bit each. */
bool json_skip(json_reader *r, int depth) {
  uint8_t object[CAW_PB_DEPTH + 1];
  size_t counts[CAW_PB_DEPTH + 1], level = 0;
  bool same;
  for (;;) {
    char c = json_peek(r);
    if (c == '{' || c == '[') {
      if (level == (size_t)depth) return json_fail(r, CAW_EDEPTH, r->p, "nested too deeply");
      r->p++;
      object[level] = c == '{';
      counts[level++] = 0;
    } else if (!skip_plain(r)) {
      return false;
    }
    /* To the next value, out of all that ends here. */
    while (level && !(object[level - 1] ? json_pass_member(r, &counts[level - 1], NULL, &same)
                                        : json_element(r, &counts[level - 1]))) {
      if (r->err) return false;
      level--;
    }
    if (!level) return true;
  }
}
