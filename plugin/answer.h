/* What protoc-gen-caw answers to a request of protoc. */
#ifndef PLUGIN_ANSWER_H
#define PLUGIN_ANSWER_H

#include <caw/str.h>
#include <stdint.h>

/*
 * Reads a serialized CodeGeneratorRequest and makes the CodeGeneratorResponse,
 * in text_arena: what is wrong with the .proto files or the options goes into
 * it. Returns 0, or a CAW_E* with *what failed.
 */
int plugin_answer(caw_str *out, const uint8_t *data, size_t len, const char **what);

#endif
