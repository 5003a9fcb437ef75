/* The tables of face.h: compiled once for src/h2, and once for the oracle, whose
 * names.h makes FACE and each of these functions another. */
#include "face.h"

#ifndef FACE
#define FACE face_ours
#endif

#define TEXT(x)  #x
#define TITLE(x) TEXT(x)

const h2_face FACE = {
    .name = TITLE(FACE),
    .session_new = h2_session_new,
    .session_free = h2_session_free,
    .recv = h2_recv,
    .output = h2_output,
    .written = h2_written,
    .want_output = h2_want_output,
    .finished = h2_finished,
    .request = h2_request,
    .respond = h2_respond,
    .send = h2_send,
    .finish = h2_finish,
    .reset = h2_reset,
    .consume = h2_consume,
    .goaway = h2_goaway,
    .last_id = h2_last_id,
    .ping = h2_ping,
    .noise = h2_noise,
    .queued = h2_queued,
    .stream_id = h2_stream_id,
};
