/* The trace of frames (base/trace.h, component h2), and the writing of their heads, which all
 * frames that go out pass. */
#ifndef H2_TRACE_H
#define H2_TRACE_H

#include "base/trace.h"
#include "h2/frame.h"

/* A frame of this session, coming in or going out. */
void trace_frame(const void *session, bool in, const frame_head *h) __attribute__((cold));

static inline void frame_out(const void *session, uint8_t *p, size_t len, unsigned type,
                             unsigned flags, uint32_t id) {
  frame_write(p, len, type, flags, id);
  if (!trace_wants(TRACE_H2)) return;
  const frame_head h = {(uint32_t)len, id, (uint8_t)type, (uint8_t)flags};
  trace_frame(session, false, &h);
}

static inline void frame_in(const void *session, const frame_head *h) {
  if (trace_wants(TRACE_H2)) trace_frame(session, true, h);
}

#endif
