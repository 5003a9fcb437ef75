/* Strings and output of the plugin. */
#include "text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

caw_arena *text_arena;

void text_out_of_memory(void) {
  fputs("protoc-gen-caw: out of memory\n", stderr);
  exit(1);
}

void *text_alloc(size_t count, size_t size) {
  void *p = caw_arena_calloc(text_arena, count, size);
  if (!p) text_out_of_memory();
  return p;
}

const char *text_format(const char *format, ...) {
  va_list args;
  va_start(args, format);
  caw_str s = caw_arena_vprintf(text_arena, format, args);
  va_end(args);
  if (!s.data) text_out_of_memory();
  return s.data;
}

const char *text_of(caw_str s) {
  caw_str copy = caw_arena_dup(text_arena, s);
  if (!copy.data) text_out_of_memory();
  return copy.data;
}

void text_put(buf *out, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (n < 0 || buf_reserve(out, (size_t)n + 1)) text_out_of_memory();
  vsnprintf((char *)out->data + out->len, (size_t)n + 1, format, again);
  out->len += (size_t)n;
  va_end(again);
}

const char *text_escape(caw_str s) {
  char *out = text_alloc(s.len * 4 + 1, 1), *p = out;
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    /* `?` because of trigraphs. Octal has a fixed length, hexadecimal has not. */
    if (c == '"' || c == '\\' || c == '?') p += sprintf(p, "\\%c", c);
    else if (c < 0x20 || c >= 0x7f) p += sprintf(p, "\\%03o", c);
    else *p++ = (char)c;
  }
  return out;
}

/* One line of a comment; what would end or nest the comment is taken apart. */
static void comment_line(buf *out, const char *line, size_t len) {
  for (size_t i = 0; i < len; i++) {
    char c = line[i], before = i ? line[i - 1] : ' ';
    if ((c == '/' && before == '*') || (c == '*' && before == '/')) text_put(out, " ");
    if ((unsigned char)c >= 0x20 || c == '\t') text_put(out, "%c", c);
  }
}

void text_comment(buf *out, int indent, caw_str comment) {
  if (!comment.len) return;
  const char *p = comment.data, *end = p + comment.len;
  while (p < end && isspace((unsigned char)*p)) p++;
  while (end > p && isspace((unsigned char)end[-1])) end--;
  bool first = true, several = p < end && memchr(p, '\n', (size_t)(end - p));
  if (p == end) return;
  text_put(out, "%*s/*", indent, "");
  while (p < end) {
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    const char *stop = nl ? nl : end, *next = nl ? nl + 1 : end;
    while (stop > p && isspace((unsigned char)stop[-1])) stop--;
    if (several) text_put(out, "\n%*s *", indent, "");
    if (stop > p && (first || *p != ' ')) text_put(out, " ");
    comment_line(out, p, (size_t)(stop - p));
    first = false;
    p = next;
  }
  if (several) text_put(out, "\n%*s */\n", indent, "");
  else text_put(out, " */\n");
}

bool text_same(const char *a, const char *b) {
  return strcmp(a, b) == 0;
}
