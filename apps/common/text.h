/* Text from the network on its way to a terminal or a log. */
#ifndef APPS_TEXT_H
#define APPS_TEXT_H

#include <caw/str.h>
#include <stdio.h>

/* Writes the text with its control characters as \xNN (C1's, as UTF-8, too), so
 * that it can neither steer a terminal nor forge lines. */
void text_print(FILE *out, caw_str text);

#endif
