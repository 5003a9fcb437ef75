/* Text from the network on its way to a terminal or a log. */
#ifndef APPS_TEXT_H
#define APPS_TEXT_H

#include <caw/str.h>
#include <stdio.h>

/* Writes the text with its control characters (C1's, too) and what is no UTF-8 as \xNN, so that it
 * can neither steer a terminal nor forge lines. */
void text_print(FILE *out, caw_str text);

/* How many of the bytes, one or more, are one character in UTF-8 (RFC 3629); 0: they begin with
 * none. */
size_t text_character(const unsigned char *p, size_t len);

#endif
