/* The two files that are written for each .proto file. */
#ifndef PLUGIN_GENERATE_H
#define PLUGIN_GENERATE_H

#include "base/buf.h"
#include "model.h"

/* NAME.caw.h */
void generate_header(buf *out, const model *m, const model_file *f);

/* NAME.caw.c */
void generate_source(buf *out, const model *m, const model_file *f);

#endif
