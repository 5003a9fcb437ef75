/*
 * The faults of faults.h: in what is told, in what a local call does, and in what
 * is heard, which stands for a frame that is understood wrongly.
 */
#include "diff/faults.h"

#include <caw/status.h>
#include <string.h>

enum {
  NONE_OF_FIELD,
  SHORT_VALUE,
  HEADERS_FLAG,
  LATE_END,
  DATA_BYTE,
  DATA_SHORT,
  CLOSE_CODE,
  CLOSE_REMOTE,
  NO_SETTINGS,
  GOAWAY_LAST,
  PING_OPAQUE,
  SENT_LESS,
  REFUSES,
  RESET_CODE,
  PING_OTHER,
  GOAWAY_CODE,
  RESPOND_AGAIN,
  RESPOND_FIELD,
  FINISH_PLAIN,
  SEND_SHORT,
  SEND_RESULT,
  CONSUME_NOTHING,
  LAST_ID,
  FINISHED,
  WANTS_NOTHING,
  DEAF_TO_PING,
  DEAF_TO_WINDOW,
  DEAF_TO_SETTINGS,
  DEAF_TO_RESET,
  DEAF_TO_PADDING,
  OTHER_FAILURE,
  NO_FAILURE,
  FAULTS
};

const char *const fault_names[FAULTS] = {
    [NONE_OF_FIELD] = "a field is not told",
    [SHORT_VALUE] = "a value lacks a byte",
    [HEADERS_FLAG] = "headers with trailers lack END_STREAM",
    [LATE_END] = "the end is not told",
    [DATA_BYTE] = "a byte of data is another",
    [DATA_SHORT] = "a byte of data is not told",
    [CLOSE_CODE] = "CANCEL is told as INTERNAL_ERROR",
    [CLOSE_REMOTE] = "remote is not told",
    [NO_SETTINGS] = "settings are not told",
    [GOAWAY_LAST] = "another last id is told",
    [PING_OPAQUE] = "another opaque is told",
    [SENT_LESS] = "a byte that was sent is not told",
    [REFUSES] = "a stream is refused",
    [RESET_CODE] = "h2_reset uses another code",
    [PING_OTHER] = "h2_ping sends another opaque",
    [GOAWAY_CODE] = "h2_goaway uses another code",
    [RESPOND_AGAIN] = "a second h2_respond is fine",
    [RESPOND_FIELD] = "h2_respond leaves a field out",
    [FINISH_PLAIN] = "h2_finish leaves a trailer out",
    [SEND_SHORT] = "h2_send takes all but a byte",
    [SEND_RESULT] = "h2_send is fine after h2_finish",
    [CONSUME_NOTHING] = "h2_consume does nothing",
    [LAST_ID] = "another last id",
    [FINISHED] = "never finished",
    [WANTS_NOTHING] = "output is not wanted",
    [DEAF_TO_PING] = "PING is not heard",
    [DEAF_TO_WINDOW] = "WINDOW_UPDATE is not heard",
    [DEAF_TO_SETTINGS] = "a setting is not heard",
    [DEAF_TO_RESET] = "the code of RST_STREAM is understood wrongly",
    [DEAF_TO_PADDING] = "padding counts as payload",
    [OTHER_FAILURE] = "a failure is told as no memory",
    [NO_FAILURE] = "a bad frame is passed over",
};
const unsigned fault_count = FAULTS;
unsigned fault;

/* One session lives at a time. */
static const h2_events *told;
static h2_events events;

static void *on_stream(void *ctx, h2_stream *stream) {
  if (fault == REFUSES && face_ours.stream_id(stream) == 5) return NULL;
  return told->on_stream(ctx, stream);
}

static void on_field(void *ctx, void *user, const h2_field *field) {
  h2_field f = *field;
  if (fault == NONE_OF_FIELD && caw_str_is(f.name, "te")) return;
  if (fault == SHORT_VALUE && f.value.len == 2) f.value.len--;
  told->on_field(ctx, user, &f);
}

static void on_headers(void *ctx, void *user, unsigned flags) {
  told->on_headers(ctx, user,
                   fault == HEADERS_FLAG ? flags & ~(unsigned)H2_HEADERS_END_STREAM : flags);
}

static void on_data(void *ctx, void *user, const uint8_t *data, size_t len) {
  if (fault == DATA_BYTE && len == 9) {
    told->on_data(ctx, user, (const uint8_t *)"ddddd\ndddd", len);
    return;
  }
  if (fault == DATA_SHORT && len == 5) len--;
  told->on_data(ctx, user, data, len);
}

static void on_end(void *ctx, void *user) {
  if (fault != LATE_END) told->on_end(ctx, user);
}

static void on_sent(void *ctx, void *user, size_t len) {
  told->on_sent(ctx, user, len - (fault == SENT_LESS && len == 100));
}

static void on_close(void *ctx, void *user, uint32_t code, bool remote) {
  if (fault == CLOSE_CODE && code == H2_CANCEL) code = H2_INTERNAL_ERROR;
  told->on_close(ctx, user, code, fault == CLOSE_REMOTE ? false : remote);
}

static void on_settings(void *ctx) {
  if (fault != NO_SETTINGS) told->on_settings(ctx);
}

static void on_goaway(void *ctx, uint32_t last_id, uint32_t code, caw_str debug) {
  told->on_goaway(ctx, last_id + (fault == GOAWAY_LAST), code, debug);
}

static void on_ping_ack(void *ctx, uint64_t opaque) {
  told->on_ping_ack(ctx, opaque ^ (fault == PING_OPAQUE));
}

static int faulty_new(h2_session **out, h2_role role, const h2_config *config, const h2_events *all,
                      void *ctx) {
  told = all;
  events = (h2_events){on_stream, on_field,    on_headers, on_data,     on_end,      on_sent,
                       on_close,  on_settings, on_goaway,  on_ping_ack, all->on_room};
  return face_ours.session_new(out, role, config, &events, ctx);
}

/* Is this one whole frame of such a type? */
static bool is_frame(const uint8_t *data, size_t len, unsigned type) {
  return len >= 9 && data[3] == type && ((size_t)data[1] << 8 | data[2]) == len - 9;
}

static int faulty_recv(h2_session *s, const uint8_t *data, size_t len) {
  static uint8_t other[1 << 15];
  if (fault == DEAF_TO_PING && is_frame(data, len, 6)) return 0;
  if (fault == DEAF_TO_WINDOW && is_frame(data, len, 8)) return 0;
  if (len <= sizeof(other)) {
    memcpy(other, data, len);
    if (fault == DEAF_TO_SETTINGS && is_frame(data, len, 4) && len == 15) other[9] = 9;
    if (fault == DEAF_TO_RESET && is_frame(data, len, 3) && len == 13) other[12] ^= 1;
    if (fault == DEAF_TO_PADDING && is_frame(data, len, 0) && len > 20 && data[4] & 8) other[9] = 0;
    data = other;
  }
  int rc = face_ours.recv(s, data, len);
  if (fault == OTHER_FAILURE && rc == CAW_EPROTO) return CAW_ENOMEM;
  return fault == NO_FAILURE && rc == CAW_EPROTO ? 0 : rc;
}

static bool faulty_want_output(const h2_session *s) {
  return fault != WANTS_NOTHING && face_ours.want_output(s);
}

static bool faulty_finished(const h2_session *s) {
  return fault != FINISHED && face_ours.finished(s);
}

static int faulty_respond(h2_session *s, h2_stream *st, const h2_field *fields, size_t n) {
  int rc = face_ours.respond(s, st, fields, n - (fault == RESPOND_FIELD && n > 2));
  return fault == RESPOND_AGAIN && rc == CAW_ESTATE ? 0 : rc;
}

static int faulty_send(h2_session *s, h2_stream *st, slice data) {
  if (fault == SEND_SHORT && data.len == 1000) data.len--;
  int rc = face_ours.send(s, st, data);
  return fault == SEND_RESULT && rc == CAW_ESTATE ? 0 : rc;
}

static int faulty_finish(h2_session *s, h2_stream *st, const h2_field *trailers, size_t n) {
  return face_ours.finish(s, st, trailers, n - (fault == FINISH_PLAIN && n > 1));
}

static int faulty_reset(h2_session *s, h2_stream *st, uint32_t code) {
  return face_ours.reset(s, st, fault == RESET_CODE && code == H2_CANCEL ? H2_NO_ERROR : code);
}

static int faulty_consume(h2_session *s, h2_stream *st, size_t len) {
  if (fault == CONSUME_NOTHING) return 0;
  return face_ours.consume(s, st, len);
}

static int faulty_goaway(h2_session *s, uint32_t last_id, uint32_t code, caw_str debug) {
  return face_ours.goaway(s, last_id, fault == GOAWAY_CODE ? H2_INTERNAL_ERROR : code, debug);
}

static uint32_t faulty_last_id(const h2_session *s) {
  return face_ours.last_id(s) + (fault == LAST_ID);
}

static int faulty_ping(h2_session *s, uint64_t opaque) {
  return face_ours.ping(s, opaque ^ (fault == PING_OTHER));
}

static uint64_t faulty_noise(const h2_session *s) {
  return face_ours.noise(s); /* nobody compares it: tests/h2/floods.c counts it exactly */
}

static void faulty_free(h2_session *s) {
  face_ours.session_free(s);
}

static int faulty_output(h2_session *s, struct iovec *parts, int max) {
  return face_ours.output(s, parts, max);
}

static void faulty_written(h2_session *s, size_t len) {
  face_ours.written(s, len);
}

static int faulty_request(h2_session *s, const h2_field *fields, size_t n, void *user,
                          h2_stream **out) {
  return face_ours.request(s, fields, n, user, out);
}

static size_t faulty_queued(const h2_session *s) {
  return face_ours.queued(s);
}

static uint32_t faulty_stream_id(const h2_stream *st) {
  return face_ours.stream_id(st);
}

const h2_face face_faulty = {
    .name = "face_faulty",
    .session_new = faulty_new,
    .session_free = faulty_free,
    .recv = faulty_recv,
    .output = faulty_output,
    .written = faulty_written,
    .want_output = faulty_want_output,
    .finished = faulty_finished,
    .request = faulty_request,
    .respond = faulty_respond,
    .send = faulty_send,
    .finish = faulty_finish,
    .reset = faulty_reset,
    .consume = faulty_consume,
    .goaway = faulty_goaway,
    .last_id = faulty_last_id,
    .ping = faulty_ping,
    .noise = faulty_noise,
    .queued = faulty_queued,
    .stream_id = faulty_stream_id,
};
