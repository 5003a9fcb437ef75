/* The rules of words.h. */
#include "words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

static bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

const char *words_handle(caw_str text) {
  if (text.len < WORDS_HANDLE_LEAST || text.len > WORDS_HANDLE_MOST)
    return "has to have 2 to 32 characters";
  for (size_t i = 0; i < text.len; i++)
    if (!is_letter_or_digit(text.data[i]) && !strchr("._-", text.data[i] ? text.data[i] : ' '))
      return "may have a-z, 0-9, '.', '_' and '-' only";
  if (!is_letter_or_digit(text.data[0]) || !is_letter_or_digit(text.data[text.len - 1]))
    return "has to begin and end with a letter or digit";
  return NULL;
}

static const char *too_long(size_t most, caw_arena *arena) {
  caw_str phrase = caw_arena_printf(arena, "is longer than %zu bytes", most);
  return phrase.data ? phrase.data : "is too long";
}

/* Characters that would change what others see of a line: controls of any kind, and those
 * that turn the direction of what follows them (U+202A to U+202E, U+2066 to U+2069). */
static bool is_control(utf8proc_int32_t c) {
  return utf8proc_category(c) == UTF8PROC_CATEGORY_CC || (c >= 0x202a && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069) || c == 0x2028 || c == 0x2029;
}

/* How many bytes in front, in eights, are ' ' to '~' all of them. *seen: not only spaces. */
static size_t plain_prefix(caw_str text, bool *seen) {
  const uint64_t ones = UINT64_MAX / 255, spaces = ones * ' ';
  size_t i = 0;
  for (; text.len - i >= 8; i += 8) {
    uint64_t eight;
    memcpy(&eight, text.data + i, 8);
    /* The highest bit of a byte: its own, or borrowed by one below ' ', or reached by 127. */
    if ((eight | (eight - spaces) | (eight + ones)) & (ones << 7)) break;
    *seen = *seen || eight != spaces;
  }
  return i;
}

const char *words_text(caw_str text, size_t most, bool lines, bool needed, caw_arena *arena) {
  bool seen = false;
  if (text.len > most) return too_long(most, arena);
  for (size_t i = plain_prefix(text, &seen); i < text.len;) {
    if (text.data[i] >= ' ' && text.data[i] <= '~') { /* most are: utf8proc takes 20 times that */
      seen = seen || text.data[i] != ' ';
      i++;
      continue;
    }
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text.data + i,
                                          (utf8proc_ssize_t)(text.len - i), &c);
    if (n <= 0) return "is not UTF-8";
    if (is_control(c) && !(lines && (c == '\n' || c == '\t')))
      return lines ? "has control characters other than newline and tab" : "has control characters";
    utf8proc_category_t kind = utf8proc_category(c);
    /* Some letters show nothing: Hangul's fillers. */
    seen = seen || !(c == '\n' || c == '\t' || kind == UTF8PROC_CATEGORY_ZS ||
                     kind == UTF8PROC_CATEGORY_CF || utf8proc_get_property(c)->ignorable);
    i += (size_t)n;
  }
  return needed && !seen ? "has nothing to be seen in it" : NULL;
}

const char *words_url(caw_str text, size_t most, caw_arena *arena) {
  static const char scheme[] = "https://";
  if (!text.len) return NULL;
  if (text.len > most) return too_long(most, arena);
  if (text.len < sizeof(scheme) || memcmp(text.data, scheme, sizeof(scheme) - 1))
    return "is not an https:// URL";
  for (size_t i = 0; i < text.len; i++)
    if (text.data[i] <= ' ' || text.data[i] > '~' || strchr("\"<>\\^`{|}", text.data[i]))
      return "has characters that no URL has";
  return NULL;
}

/* What utf8proc makes of a text, copied to the arena. */
static caw_str mapped(caw_str text, utf8proc_option_t how, caw_arena *arena) {
  utf8proc_uint8_t *made = NULL;
  caw_str out = {NULL, 0};
  if (!text.len) return caw_arena_dup(arena, text);
  utf8proc_ssize_t n =
      utf8proc_map((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.len, &made, how);
  if (n >= 0) out = caw_arena_dup(arena, caw_str_of((const char *)made, (size_t)n));
  free(made);
  return out;
}

caw_str words_normal(caw_str text, caw_arena *arena) {
  return mapped(text, UTF8PROC_STABLE | UTF8PROC_COMPOSE, arena);
}

caw_str words_folded(caw_str text, caw_arena *arena) {
  return mapped(text,
                UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                    UTF8PROC_IGNORE,
                arena);
}

static bool is_word(utf8proc_int32_t c) {
  utf8proc_category_t kind = utf8proc_category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_NO) || c > 0xffff;
}

caw_str words_search(caw_str handle, caw_str name, caw_arena *arena) {
  caw_str folded = words_folded(name, arena), none = {NULL, 0};
  char *out = folded.data ? caw_arena_alloc(arena, handle.len + 2 + 2 * folded.len) : NULL;
  if (!out) return none;
  size_t len = handle.len;
  if (len) memcpy(out, handle.data, len);
  out[len++] = '\n';
  for (size_t i = 0; i < folded.len;) {
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)folded.data + i,
                                          (utf8proc_ssize_t)(folded.len - i), &c);
    if (n <= 0) break;
    if (is_word(c)) {
      memcpy(out + len, folded.data + i, (size_t)n);
      len += (size_t)n;
    } else if (out[len - 1] != '\n') {
      out[len++] = '\n';
    }
    i += (size_t)n;
  }
  if (out[len - 1] != '\n') out[len++] = '\n';
  return caw_str_of(out, len);
}
