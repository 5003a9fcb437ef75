/* What is written for a service: docs/generated-service.md. */
#ifndef PLUGIN_SERVICE_H
#define PLUGIN_SERVICE_H

#include "base/buf.h"
#include "model.h"

/* Claims the names of the index-th service of a file. */
void service_claim(model *m, const model_file *f, size_t index);

void service_header(buf *out, const model *m, const model_file *f, size_t index);
void service_source(buf *out, const model *m, const model_file *f, size_t index);

#endif
