/*
 * Messages as text for people, in the manner of protobuf's text format. Depth
 * is limited as in encoding; what unknown fields may hold is guessed at most
 * ten levels deep. The length is limited, because indentation makes two hundred
 * bytes of text from two of a message that is nested deeply.
 */
#include "base/buf.h"
#include "pb/number.h"
#include "pb/wire.h"

#include <caw/status.h>
#include <math.h>

/* How deep the bytes of unknown fields are taken for messages. */
#define GUESS_DEPTH 10

/* What a text that was cut ends with, and the room that is kept for it. */
#define CUT      "\n...\n"
#define CUT_ROOM (sizeof(CUT) - 1)

typedef struct printer {
  buf out;
  unsigned level;
  int err; /* why printing stopped; CAW_ETOOBIG: the text is long enough */
} printer;

static void print_message(printer *w, const caw_pb_message *t, const uint8_t *m, int depth);

/* -- text ---------------------------------------------------------------- */

/* The first error stays. */
static void stop(printer *w, int err) {
  if (!w->err) w->err = err;
}

/* All of the text or nothing. */
static void put(printer *w, const char *text, size_t len) {
  if (w->err) return;
  if (len > CAW_PB_PRINT_MAX - CUT_ROOM - w->out.len) stop(w, CAW_ETOOBIG);
  else if (buf_append(&w->out, text, len)) stop(w, CAW_ENOMEM);
}

static void put_text(printer *w, const char *text) {
  put(w, text, strlen(text));
}

static void begin_line(printer *w) {
  for (unsigned i = 0; i < w->level && !w->err; i++) put(w, "  ", 2);
}

static void put_number(printer *w, uint64_t v) {
  char text[PB_NUMBER_ROOM];
  put(w, text, pb_print_u64(text, v));
}

/* A string with quotes; bytes beyond ASCII stay where they are UTF-8. */
static void put_quoted(printer *w, caw_str s, bool utf8) {
  static const char from[] = "\"\\\n\r\t", to[] = "\"\\nrt";
  if (s.len && !s.data) {
    stop(w, CAW_EINVAL);
    return;
  }
  utf8 = utf8 && pb_utf8_valid((const uint8_t *)s.data, s.len);
  put(w, "\"", 1);
  for (size_t i = 0; i < s.len && !w->err; i++) {
    uint8_t c = (uint8_t)s.data[i];
    const char *known = memchr(from, c, sizeof(from) - 1);
    if (known) {
      char text[2] = {'\\', to[known - from]};
      put(w, text, 2);
    } else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
      char text[4] = {'\\', (char)('0' + (c >> 6)), (char)('0' + (c >> 3 & 7)),
                      (char)('0' + (c & 7))};
      put(w, text, 4);
    } else {
      put(w, (const char *)&s.data[i], 1);
    }
  }
  put(w, "\"", 1);
}

static void open_brace(printer *w) {
  put(w, " {\n", 3);
  w->level++;
}

static void close_brace(printer *w) {
  w->level--;
  begin_line(w);
  put(w, "}\n", 2);
}

/* -- unknown fields ------------------------------------------------------ */

/* Some of the bytes of unknown fields; `bad` once they are not as they should
 * be, which decoding does not leave behind. */
typedef struct bytes {
  const uint8_t *p, *end;
  bool bad;
} bytes;

static uint64_t take_varint(bytes *b) {
  uint64_t v = 0;
  for (unsigned shift = 0; shift < 64 && b->p < b->end; shift += 7) {
    uint8_t c = *b->p++;
    v |= (uint64_t)(c & 0x7f) << shift;
    if (c < 0x80) return v;
  }
  b->bad = true;
  return 0;
}

static const uint8_t *take_bytes(bytes *b, uint64_t len) {
  const uint8_t *p = b->p;
  if (b->bad || len > (uint64_t)(b->end - p)) {
    b->bad = true;
    return NULL;
  }
  b->p += len;
  return p;
}

/* Are the bytes the fields of a message? Groups are not guessed. */
static bool looks_like_message(const uint8_t *p, size_t len) {
  bytes b = {p, p + len, len == 0};
  while (b.p < b.end && !b.bad) {
    uint64_t tag = take_varint(&b);
    if (tag < 8 || tag > UINT32_MAX) return false;
    switch (tag & 7) {
    case WIRE_VARINT:
      take_varint(&b);
      break;
    case WIRE_64:
      take_bytes(&b, 8);
      break;
    case WIRE_32:
      take_bytes(&b, 4);
      break;
    case WIRE_LEN:
      take_bytes(&b, take_varint(&b));
      break;
    default:
      return false;
    }
  }
  return !b.bad;
}

static bool looks_like_text(const uint8_t *p, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (p[i] < 0x20 && p[i] != '\n' && p[i] != '\t' && p[i] != '\r') return false;
  return pb_utf8_valid(p, len);
}

static void put_hex(printer *w, uint64_t v, int digits) {
  char text[18] = "0x";
  for (int i = 0; i < digits; i++) text[2 + i] = "0123456789abcdef"[v >> 4 * (digits - 1 - i) & 15];
  put(w, text, (size_t)digits + 2);
}

static void print_unknown(printer *w, bytes *b, int guess);

static void print_length_delimited(printer *w, bytes *b, int guess) {
  size_t len = (size_t)take_varint(b);
  const uint8_t *data = take_bytes(b, len);
  if (!data) return;
  if (guess && !looks_like_text(data, len) && looks_like_message(data, len)) {
    bytes inner = {data, data + len, false};
    open_brace(w);
    print_unknown(w, &inner, guess - 1);
    close_brace(w);
    return;
  }
  put(w, ": ", 2);
  put_quoted(w, caw_str_of((const char *)data, len), looks_like_text(data, len));
  put(w, "\n", 1);
}

/* The value behind a tag that starts no group and ends none. */
static void print_unknown_value(printer *w, bytes *b, unsigned wire, int guess) {
  const uint8_t *p;
  switch (wire) {
  case WIRE_VARINT:
    put(w, ": ", 2);
    put_number(w, take_varint(b));
    break;
  case WIRE_64:
    put(w, ": ", 2);
    p = take_bytes(b, 8);
    if (p) put_hex(w, pb_get64(p), 16);
    break;
  case WIRE_32:
    put(w, ": ", 2);
    p = take_bytes(b, 4);
    if (p) put_hex(w, pb_get32(p), 8);
    break;
  case WIRE_LEN:
    print_length_delimited(w, b, guess);
    return;
  default:
    b->bad = true;
    return;
  }
  put(w, "\n", 1);
}

/* Groups without recursion: only how many are open matters. */
static void print_unknown(printer *w, bytes *b, int guess) {
  unsigned open = 0;
  while (b->p < b->end && !b->bad && !w->err) {
    uint64_t tag = take_varint(b);
    if ((tag & 7) == WIRE_END) {
      if (open) close_brace(w);
      else b->bad = true;
      open -= open > 0;
      continue;
    }
    begin_line(w);
    put_number(w, tag >> 3);
    if ((tag & 7) == WIRE_START) {
      open_brace(w);
      open++;
    } else {
      print_unknown_value(w, b, (unsigned)tag & 7, guess);
    }
  }
  for (; open; open--) close_brace(w);
}

static void print_unknown_pieces(printer *w, const uint8_t *m) {
  const caw_pb_unknown *last = pb_load_ptr(m), *u = last;
  if (!last) return;
  do {
    u = u->next;
    bytes b = {u->data, u->data + u->len, false};
    if (u->len) print_unknown(w, &b, GUESS_DEPTH);
  } while (u != last && !w->err);
}

/* -- known fields -------------------------------------------------------- */

static void print_floating(printer *w, unsigned type, const uint8_t *at) {
  char text[PB_NUMBER_ROOM];
  double d;
  float f = 0;
  if (type == CAW_PB_DOUBLE) {
    memcpy(&d, at, sizeof(d));
  } else {
    memcpy(&f, at, sizeof(f));
    d = (double)f;
  }
  if (isnan(d)) put_text(w, "nan");
  else if (isinf(d)) put_text(w, d < 0 ? "-inf" : "inf");
  else put(w, text, type == CAW_PB_DOUBLE ? pb_print_double(text, d) : pb_print_float(text, f));
}

static void print_scalar(printer *w, const caw_pb_field *f, const uint8_t *at) {
  char text[PB_NUMBER_ROOM];
  const char *name;
  switch (f->type) {
  case CAW_PB_DOUBLE:
  case CAW_PB_FLOAT:
    print_floating(w, f->type, at);
    break;
  case CAW_PB_BOOL:
    put_text(w, *at ? "true" : "false");
    break;
  case CAW_PB_STRING:
  case CAW_PB_BYTES:
    put_quoted(w, pb_load_str(at), f->type == CAW_PB_STRING);
    break;
  case CAW_PB_UINT64:
  case CAW_PB_FIXED64:
    put_number(w, pb_load64(at));
    break;
  case CAW_PB_UINT32:
  case CAW_PB_FIXED32:
    put_number(w, pb_load32(at));
    break;
  case CAW_PB_INT64:
  case CAW_PB_SINT64:
  case CAW_PB_SFIXED64:
    put(w, text, pb_print_i64(text, (int64_t)pb_load64(at)));
    break;
  default: /* 32 bits with a sign, and enums */
    name = f->type == CAW_PB_ENUM ? caw_pb_enum_name(f->sub, (int32_t)pb_load32(at)) : NULL;
    if (name) put_text(w, name);
    else put(w, text, pb_print_i64(text, (int32_t)pb_load32(at)));
    break;
  }
}

/* One value with its name: a line, or a block for a message. */
static void print_field(printer *w, const caw_pb_field *f, const uint8_t *at, int depth) {
  begin_line(w);
  put_text(w, f->name);
  if (!pb_is_message(f->type)) {
    put(w, ": ", 2);
    print_scalar(w, f, at);
    put(w, "\n", 1);
  } else if (!depth) {
    stop(w, CAW_EDEPTH);
  } else {
    open_brace(w);
    if (at) print_message(w, pb_sub(f), at, depth - 1);
    close_brace(w);
  }
}

/* Values that are no messages, in one line. */
static void print_list(printer *w, const caw_pb_field *f, pb_array a) {
  size_t size = pb_scalar_size(f->type);
  const uint8_t *item = a.items;
  begin_line(w);
  put_text(w, f->name);
  put(w, ": [", 3);
  for (size_t i = 0; i < a.len && !w->err; i++, item += size) {
    if (i) put(w, ", ", 2);
    print_scalar(w, f, item);
  }
  put(w, "]\n", 2);
}

static void print_repeated(printer *w, const caw_pb_field *f, const uint8_t *at, int depth) {
  pb_array a = pb_array_load(at);
  const uint8_t *item = a.items;
  if (!a.len) return;
  if (!a.items) stop(w, CAW_EINVAL);
  else if (!pb_is_message(f->type)) print_list(w, f, a);
  else
    for (size_t i = 0; i < a.len && !w->err; i++, item += pb_sub(f)->size)
      print_field(w, f, item, depth);
}

static void print_message(printer *w, const caw_pb_message *t, const uint8_t *m, int depth) {
  const caw_pb_field *f = t->fields, *last = pb_fields_end(t);
  for (; f < last && !w->err; f++) {
    const uint8_t *at = m + f->offset;
    if (f->flags & CAW_PB_REPEATED) print_repeated(w, f, at, depth);
    else if (pb_present(t, f, m))
      print_field(w, f, pb_is_message(f->type) ? pb_load_ptr(at) : at, depth);
  }
  if (!(t->flags & CAW_PB_ENTRY)) print_unknown_pieces(w, m);
}

/* Ends a text that was cut, after a whole character, with a line of its own. */
static void end_cut(buf *out) {
  while (out->len && (out->data[out->len - 1] & 0xc0) == 0x80) out->len--;
  if (out->len && out->data[out->len - 1] >= 0xc0) out->len--;
  bool line = !out->len || out->data[out->len - 1] == '\n';
  caw_str cut = caw_str_from(line ? &CUT[1] : CUT);
  memcpy(out->data + out->len, cut.data, cut.len);
  out->len += cut.len;
}

int caw_pb_print(caw_str *out, caw_arena *arena, const caw_type *type, const void *message) {
  const caw_pb_message *t = caw_pb_table(type);
  printer w = {0};
  *out = (caw_str){NULL, 0};
  if (!t) return CAW_EINVAL;
  print_message(&w, t, message, CAW_PB_DEPTH);
  if (w.err == CAW_ETOOBIG) {
    w.err = buf_reserve(&w.out, CUT_ROOM);
    if (!w.err) end_cut(&w.out);
  }
  if (!w.err) {
    *out = caw_arena_dup(arena, caw_str_of((const char *)w.out.data, w.out.len));
    if (!out->data) w.err = CAW_ENOMEM;
  }
  buf_finish(&w.out);
  return w.err;
}
