/*
 * Text for the plugin: strings that live as long as the run, and growing
 * output. The plugin is a program that runs once: when memory is out it says
 * so and exits with 1, here and nowhere else.
 */
#ifndef PLUGIN_TEXT_H
#define PLUGIN_TEXT_H

#include "base/buf.h"
#include <caw/arena.h>
#include <caw/str.h>

/* The arena of the run. */
extern caw_arena *text_arena;

void text_out_of_memory(void);

/* `count` zeroed things of `size` bytes. */
void *text_alloc(size_t count, size_t size);

/* printf into the arena. */
const char *text_format(const char *format, ...) CAW_PRINTF(1, 2);

/* A copy that ends in a NUL byte. */
const char *text_of(caw_str s);

/* printf at the end of an output. */
void text_put(buf *out, const char *format, ...) CAW_PRINTF(2, 3);

/* `s` with what a C string literal needs escaped; no quotes around it. */
const char *text_escape(caw_str s);

/* Writes a comment of a .proto file as a C comment, each line behind `indent`
 * spaces. Nothing for a blank one. */
void text_comment(buf *out, int indent, caw_str comment);

/* Do the two C strings have the same characters? */
bool text_same(const char *a, const char *b);

#endif
