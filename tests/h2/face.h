/*
 * h2/h2.h as a table of functions, so that a test can run on src/h2 and on the
 * oracle (oracle/session.h), in one program.
 */
#ifndef FACE_H
#define FACE_H

#include "h2/h2.h"

typedef struct h2_face {
  const char *name;
  int (*session_new)(h2_session **out, h2_role role, const h2_config *config,
                     const h2_events *events, void *ctx);
  void (*session_free)(h2_session *s);
  int (*recv)(h2_session *s, const uint8_t *data, size_t len);
  int (*output)(h2_session *s, struct iovec *parts, int max);
  void (*written)(h2_session *s, size_t len);
  bool (*want_output)(const h2_session *s);
  bool (*finished)(const h2_session *s);
  int (*request)(h2_session *s, const h2_field *fields, size_t n, void *user, h2_stream **out);
  int (*respond)(h2_session *s, h2_stream *stream, const h2_field *fields, size_t n);
  int (*send)(h2_session *s, h2_stream *stream, slice data);
  int (*finish)(h2_session *s, h2_stream *stream, const h2_field *trailers, size_t n);
  int (*reset)(h2_session *s, h2_stream *stream, uint32_t code);
  int (*consume)(h2_session *s, h2_stream *stream, size_t len);
  int (*goaway)(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug);
  uint32_t (*last_id)(const h2_session *s);
  int (*ping)(h2_session *s, uint64_t opaque);
  uint64_t (*noise)(const h2_session *s);
  size_t (*queued)(const h2_session *s);
  uint32_t (*stream_id)(const h2_stream *stream);
} h2_face;

extern const h2_face face_ours, face_oracle;

#endif
