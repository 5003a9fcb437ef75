/*
 * What people may write, and how it is compared: handles, names, texts. Unicode's rules
 * are utf8proc's; nothing here knows a store or a call.
 */
#ifndef CHATD_WORDS_H
#define CHATD_WORDS_H

#include <caw/arena.h>
#include <caw/str.h>
#include <stdbool.h>

#define WORDS_HANDLE_LEAST 2
#define WORDS_HANDLE_MOST  32

/* Why a text is not allowed, a phrase that goes behind the field's name ("is longer than
 * 100 bytes"); NULL when it is. The phrase is static or in the arena. */

/* A handle: 2 to 32 of a-z 0-9 . _ - ; begins and ends with a letter or digit. */
const char *words_handle(caw_str text);

/* UTF-8 of at most `most` bytes without control characters, but newline and tab when
 * `lines`. May be empty unless `needed`. */
const char *words_text(caw_str text, size_t most, bool lines, bool needed, caw_arena *arena);

/* An https URL, or empty. */
const char *words_url(caw_str text, size_t most, caw_arena *arena);

/* The text in Unicode's normal form C; data NULL without memory. It is UTF-8 already. */
caw_str words_normal(caw_str text, caw_arena *arena);

/* Case aside: two texts that people take for the same name are the same. data NULL without
 * memory. */
caw_str words_folded(caw_str text, caw_arena *arena);

/* The folded words of a handle and a name, each followed by a newline: what a search finds
 * them by. A handle counts whole. data NULL without memory. */
caw_str words_search(caw_str handle, caw_str name, caw_arena *arena);

#endif
