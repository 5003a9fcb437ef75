#include "service.h"
void service_claim(model *m, const model_file *f, size_t index) {
  (void)m;
  (void)f;
  (void)index;
}
void service_header(buf *out, const model *m, const model_file *f, size_t index) {
  (void)out;
  (void)m;
  (void)f;
  (void)index;
}
void service_source(buf *out, const model *m, const model_file *f, size_t index) {
  (void)out;
  (void)m;
  (void)f;
  (void)index;
}
