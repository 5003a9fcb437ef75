/* What is text and what is not, for names from outside that people and tools shall read. (What
 * protobuf's strings pass is src/pb's, and faster.) */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* How many of the bytes are one character (RFC 3629: no surrogates, nothing overlong); 0: they
 * begin with none. There is at least one byte. */
size_t utf8_length(const char *p, size_t len);

/* Puts '?' in the place of each control character, and of each byte that is no character's. */
void utf8_mend(char *text, size_t len);

#endif
