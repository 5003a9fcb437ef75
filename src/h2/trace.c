/* The lines of trace.h: what of a frame's head people want to see. */
#include "h2/trace.h"

#include <stdio.h>

static const char *const names[] = {"DATA",          "HEADERS",      "PRIORITY", "RST_STREAM",
                                    "SETTINGS",      "PUSH_PROMISE", "PING",     "GOAWAY",
                                    "WINDOW_UPDATE", "CONTINUATION"};

static const char *flags_of(const frame_head *h) {
  switch (h->type) {
  case FRAME_DATA:
    return h->flags & FLAG_END_STREAM ? " END_STREAM" : "";
  case FRAME_HEADERS:
    if (h->flags & FLAG_END_HEADERS)
      return h->flags & FLAG_END_STREAM ? " END_STREAM END_HEADERS" : " END_HEADERS";
    return h->flags & FLAG_END_STREAM ? " END_STREAM" : "";
  case FRAME_CONTINUATION:
    return h->flags & FLAG_END_HEADERS ? " END_HEADERS" : "";
  case FRAME_SETTINGS:
  case FRAME_PING:
    return h->flags & FLAG_ACK ? " ACK" : "";
  default:
    return "";
  }
}

void trace_frame(const void *session, bool in, const frame_head *h) {
  char other[16];
  const char *name = other;
  if (h->type < sizeof(names) / sizeof(names[0])) name = names[h->type];
  else snprintf(other, sizeof(other), "type %u", h->type);
  trace_write(TRACE_H2, "session %p %s %s stream %u, %u bytes%s", session, in ? "<-" : "->", name,
              (unsigned)h->id, (unsigned)h->len, flags_of(h));
}
