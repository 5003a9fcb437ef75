/* The texts of JSON's errors: path of the field, position, sentence. What is
 * quoted from the input is cut and escaped, so that a text is one short line of
 * UTF-8 whatever came. */
#include "pb/json.h"

#include <stdio.h>

/* A text that is cut at the end of its room, never inside a character. */
typedef struct line {
  char *out;
  size_t len, room; /* room without the NUL and the "..." */
  bool cut;
} line;

/* Appends all of it or nothing. */
static void add(line *l, const char *text, size_t len) {
  if (l->cut || len > l->room - l->len) {
    l->cut = true;
    return;
  }
  memcpy(l->out + l->len, text, len);
  l->len += len;
}

static void finish(line *l) {
  strcpy(l->out + l->len, l->cut ? "..." : "");
}

static line line_of(char *out, size_t size) {
  return (line){out, 0, size - 4, false};
}

static size_t character_len(uint8_t first) {
  return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void add_quoted(line *l, caw_str s) {
  bool utf8 = pb_utf8_valid((const uint8_t *)s.data, s.len);
  add(l, "\"", 1);
  for (size_t i = 0; i < s.len && !l->cut;) {
    uint8_t c = (uint8_t)s.data[i];
    size_t n = utf8 ? character_len(c) : 1;
    char escaped[8];
    if (c == '"' || c == '\\') {
      snprintf(escaped, sizeof(escaped), "\\%c", c);
      add(l, escaped, 2);
    } else if (c < 0x20 || c == 0x7f || (!utf8 && c >= 0x80)) {
      snprintf(escaped, sizeof(escaped), "\\x%02x", c);
      add(l, escaped, 4);
    } else {
      add(l, s.data + i, n);
    }
    i += n;
  }
  add(l, "\"", 1);
}

const char *json_quoted(char out[JSON_QUOTED], caw_str s) {
  line l = line_of(out, JSON_QUOTED);
  add_quoted(&l, s);
  finish(&l);
  return out;
}

static void add_step(line *l, const json_step *s) {
  char number[32];
  if (s->kind == JSON_FIELD) {
    if (l->len) add(l, ".", 1);
    add(l, s->name.data, s->name.len);
  } else if (s->kind == JSON_INDEX) {
    int n = snprintf(number, sizeof(number), "[%zu]", s->index);
    add(l, number, (size_t)n);
  } else {
    add(l, "[", 1);
    add_quoted(l, s->name);
    add(l, "]", 1);
  }
}

/* Two steps a level, and the outermost. */
#define MOST_STEPS (2 * CAW_PB_DEPTH + 2)

void json_error_fill(caw_json_error *e, const json_step *at, const char *format, va_list args) {
  const json_step *steps[MOST_STEPS];
  size_t n = 0;
  line path = line_of(e->path, sizeof(e->path));
  for (; at && n < MOST_STEPS; at = at->up) steps[n++] = at;
  while (n) add_step(&path, steps[--n]);
  finish(&path);

  char place[64] = "";
  if (e->line) snprintf(place, sizeof(place), "%zu:%zu: ", e->line, e->column);
  int len = snprintf(e->text, sizeof(e->text), "%s%s%s", place, e->path, *e->path ? ": " : "");
  /* What is left is longer than any of our sentences with its quotes. */
  vsnprintf(e->text + len, sizeof(e->text) - (size_t)len, format, args);
}
