/* A run: plays the script, and compares. */
#include "diff/inside.h"

#include <caw/status.h>
#include <stdarg.h>
#include <string.h>

diff_sums diff_total;

void differ(diff *d, const char *format, ...) {
  static char text[400];
  if (d->why || d->blind) return;
  va_list ap;
  va_start(ap, format);
  vsnprintf(text, sizeof(text), format, ap);
  va_end(ap);
  TELL(d, "DIFFERENT: %s\n", text);
  d->why = text;
  d->stop = true;
}

/* ---- streams ---- */

stream *stream_find(diff *d, uint32_t id) {
  for (size_t i = d->count; i-- > 0;)
    if (d->streams[i].id == id) return &d->streams[i];
  return NULL;
}

static void stream_reset(diff *d, stream *st, uint32_t id) {
  st->id = id;
  for (int i = 0; i < SIDES; i++) {
    half *h = &st->of[i];
    h->side = &d->sides[i];
    h->stream = st;
    h->h2 = NULL;
    h->told = h->closed = h->ended = h->final = h->opened = h->done = false;
    h->events.len = h->wire.len = 0;
    h->received = h->framed = h->written = h->granted = 0;
    h->sum = 0;
    h->reset = -1;
  }
  st->length = -1;
  st->queued = st->consumed = st->data = st->credit = 0;
  st->to_head = st->answered = st->finished = st->reset = st->heard = st->over = st->aborted =
      false;
  st->allowed_before = d->window_before;
}

stream *stream_for(diff *d, uint32_t id) {
  stream *st = stream_find(d, id);
  if (st) return st;
  if (d->count == STREAMS) d->blind = d->stop = true;
  st = &d->streams[d->count < STREAMS ? d->count++ : STREAMS];
  stream_reset(d, st, id);
  return st;
}

bool at_boundary(const diff *d) {
  return d->fed == d->pend_len && !d->preface_due && !d->settings_due && !d->in_block;
}

/* ---- comparing ---- */

static bool same(trail *a, trail *b, bool exact) {
  uint32_t n = a->len < b->len ? a->len : b->len;
  if (!exact && n == TRAIL) n--; /* more is in the last one */
  if (memcmp(a->seen, b->seen, n * sizeof(a->seen[0])) != 0) return false;
  if (!exact) return true;
  if (a->len != b->len) return false;
  a->len = b->len = 0;
  return true;
}

void compare_events(diff *d, bool exact) {
  side *ours = &d->sides[OURS], *oracle = &d->sides[ORACLE];
  if (!same(&ours->events, &oracle->events, exact)) differ(d, "other events of the connection");
  for (size_t i = 0; i < d->count; i++) {
    stream *st = &d->streams[i];
    half *a = &st->of[OURS], *b = &st->of[ORACLE];
    if (!same(&a->events, &b->events, exact)) differ(d, "other events of stream %u", st->id);
    if (!exact) continue;
    if (a->received != b->received || a->sum != b->sum)
      differ(d, "other data of stream %u: %llu, oracle %llu", st->id,
             (unsigned long long)a->received, (unsigned long long)b->received);
    if (a->framed != b->framed)
      differ(d, "of stream %u %llu bytes are sent, oracle %llu", st->id,
             (unsigned long long)a->framed, (unsigned long long)b->framed);
  }
  if (!exact) return;
  if (ours->face->last_id(ours->s) != oracle->face->last_id(oracle->s))
    differ(d, "another last id");
}

static void compare_wire(diff *d, bool exact) {
  side *ours = &d->sides[OURS], *oracle = &d->sides[ORACLE];
  if (!same(&ours->settings, &oracle->settings, exact)) differ(d, "other SETTINGS are written");
  if (!same(&ours->ping_acks, &oracle->ping_acks, exact)) differ(d, "other PING acks");
  if (!same(&ours->pings, &oracle->pings, exact)) differ(d, "other PINGs are written");
  if (!same(&ours->goaways, &oracle->goaways, true))
    differ(d, "another GOAWAY is written: code %lld, oracle %lld", (long long)ours->goaway,
           (long long)oracle->goaway);
  for (size_t i = 0; i < d->count; i++) {
    stream *st = &d->streams[i];
    half *a = &st->of[OURS], *b = &st->of[ORACLE];
    if (!same(&a->wire, &b->wire, exact)) differ(d, "other frames are written on %u", st->id);
    if (exact && a->written != b->written)
      differ(d, "of stream %u %llu bytes are written, oracle %llu", st->id,
             (unsigned long long)a->written, (unsigned long long)b->written);
  }
}

/* ---- what each must do for itself ---- */

static const char *name_of(const side *s) {
  return s->which == OURS ? "ours" : "oracle";
}

/* Everything that windows permit was written; the end, too. */
static void check_progress(const side *s, const stream *st) {
  const diff *d = s->d;
  const half *h = &st->of[s->which];
  if (!h->h2 || !h->opened || st->reset || h->reset >= 0) return;
  int64_t left = stream_allowed(d, st) - (int64_t)h->written;
  int64_t conn = conn_allowed(d) - (int64_t)s->written;
  if (h->written < st->queued && left > 0 && conn > 0)
    differ((diff *)(uintptr_t)d, "%s does not write on %u what windows permit", name_of(s), st->id);
  if (h->written == st->queued && st->finished && !h->done)
    differ((diff *)(uintptr_t)d, "%s does not end stream %u", name_of(s), st->id);
}

/* The peer has no more window than it shall, and enough of what was given back. */
static void check_windows(const side *s) {
  diff *d = s->d;
  int64_t whole = d->config.session_window < 65535 ? 65535 : d->config.session_window;
  int64_t more = s->grown ? 16 << 20 : 0; /* what they may grow all together */
  int64_t window = 65535 + (int64_t)s->granted - (int64_t)d->data;
  if (window > whole + more || window < whole / 4 - 16384)
    differ(d, "%s leaves the connection a window of %lld", name_of(s), (long long)window);
  for (size_t i = 0; i < d->count; i++) {
    const stream *st = &d->streams[i];
    const half *h = &st->of[s->which];
    if (!h->h2 || st->over || st->reset || h->reset >= 0 || !st->heard || !d->acked) continue;
    whole = d->config.stream_window;
    window = whole + (int64_t)h->granted - (int64_t)st->data;
    if (window > whole + more || (st->consumed == h->received && window < whole / 4))
      differ(d, "%s leaves stream %u a window of %lld", name_of(s), st->id, (long long)window);
  }
}

/* ---- output ---- */

static void window_update(diff *d, uint32_t id, int64_t more) {
  uint8_t bytes[4] = {(uint8_t)(more >> 24), (uint8_t)(more >> 16), (uint8_t)(more >> 8),
                      (uint8_t)more};
  peer_frame(d, F_WINDOW, 0, id, bytes, 4);
}

/*
 * Where what happens is not prescribed, the peer must open windows. When more than
 * one stream has payload for what is left of the connection's window, each might
 * get it. And an end without payload may be written although a window is used up
 * (RFC 9113 section 6.9.1); nghttp2 waits. Returns whether windows must be opened,
 * and opens them if `now`.
 */
static bool open_windows(diff *d, bool now) {
  int64_t sum = 0, left = conn_allowed(d), want = 0;
  unsigned n = 0;
  bool must = false, ends = false;
  for (size_t i = 0; i < d->count; i++) {
    const stream *st = &d->streams[i];
    const half *h = &st->of[ORACLE];
    left -= (int64_t)h->framed;
    if (!h->h2) continue;
    int64_t more = (int64_t)st->queued - (int64_t)h->framed;
    int64_t most = stream_allowed(d, st) - (int64_t)h->framed;
    if (!more && st->finished && !h->done) {
      if (most <= 0 && now) window_update(d, st->id, 1 - most);
      must |= most <= 0;
      ends = true;
    }
    if (most < more) more = most;
    if (more <= 0) continue;
    sum += more;
    n++;
  }
  if (n > 1 || (n && ends)) want = sum;
  if (ends) want++;
  if (want > left && now) window_update(d, 0, want - left);
  return must || want > left;
}

static bool waits(const diff *d) {
  for (size_t i = 0; i < d->count; i++) {
    const stream *st = &d->streams[i];
    const half *h = &st->of[ORACLE];
    if (h->h2 && (st->queued > h->framed || (st->finished && !h->done))) return true;
  }
  return false;
}

static void check_open_windows(diff *d) {
  if (d->fed == d->scanned) d->windows_ahead = false;
  if (d->windows_ahead && waits(d)) d->stop = true;
  if (!open_windows(d, false)) return;
  if (!at_boundary(d) || d->delivering) d->stop = true;
  if (d->stop) return;
  open_windows(d, true);
  peer_deliver(d);
}

/* After GOAWAY and without streams there is no reason to read or to answer: what
 * still is, is not prescribed. */
bool is_over(const diff *d) {
  if (!d->goaway) return false;
  for (size_t i = 0; i < d->count; i++) {
    const half *h = &d->streams[i].of[ORACLE];
    if (h->h2 && (d->role == H2_SERVER || h->opened)) return false;
  }
  return true;
}

static void take_all(diff *d) {
  for (int i = 0; i < SIDES && !d->stop; i++)
    while (side_take(&d->sides[i], SIZE_MAX) && !d->why) continue;
}

static void check_finished(diff *d) {
  bool ours = d->sides[OURS].face->finished(d->sides[OURS].s);
  if (ours != d->sides[ORACLE].face->finished(d->sides[ORACLE].s))
    differ(d, "h2_finished says %s", ours ? "yes" : "no");
}

void settle(diff *d) {
  if (in_doubt(d)) return;
  check_open_windows(d);
  if (d->stop) return;
  for (int i = 0; i < SIDES; i++) {
    struct iovec part;
    side *s = &d->sides[i];
    if (s->face->output(s->s, &part, 1) < 0) differ(d, "%s: h2_output failed", name_of(s));
  }
  if (d->fed == d->scanned) compare_events(d, true);
  if (!is_over(d)) return;
  take_all(d);
  if (d->role == H2_SERVER && is_over(d)) check_finished(d);
  if (is_over(d)) d->stop = true;
}

void drain(diff *d) {
  settle(d);
  if (d->stop || in_doubt(d)) return;
  take_all(d);
  if (d->stop || d->fed != d->scanned) return;
  compare_events(d, true);
  compare_wire(d, true);
  if (d->stop || !at_boundary(d)) return;
  for (int i = 0; i < SIDES; i++) {
    side *s = &d->sides[i];
    check_windows(s);
    for (size_t k = 0; k < d->count; k++) check_progress(s, &d->streams[k]);
  }
  d->window_before = INT64_MIN;
  for (size_t k = 0; k < d->count; k++) d->streams[k].allowed_before = INT64_MIN;
  check_finished(d);
}

/*
 * src/h2 ends the connection for a header block beyond the hard limits whoever it
 * is for, and for a string that says to be longer as soon as it says so. nghttp2
 * hides from the oracle what it ignores, and a block that is cut or damaged behind
 * such a string is COMPRESSION_ERROR for it. And a frame that is too large may have
 * another fault, too; so may a header block that is interrupted.
 */
static bool may_fail_otherwise(const diff *d) {
  int64_t ours = d->sides[OURS].goaway, oracles = d->sides[ORACLE].goaway;
  if (d->oversized && (ours == H2_PROTOCOL_ERROR || ours == H2_FRAME_SIZE_ERROR) &&
      (oracles == H2_PROTOCOL_ERROR || oracles == H2_FRAME_SIZE_ERROR))
    return true;
  if (d->interrupted && ours > 0 && oracles > 0) return true;
  return ours == H2_ENHANCE_YOUR_CALM && content_heard(d) &&
         (content_too_large(d) || (d->content.broken && d->content.long_string));
}

void conclude(diff *d) {
  if (d->stop) return;
  diff_total.failures++;
  for (int i = 0; i < SIDES; i++) {
    side *s = &d->sides[i];
    while (side_take(s, SIZE_MAX) && !d->why) continue;
    if (s->goaway <= 0) differ(d, "%s wrote no GOAWAY that says why", name_of(s));
    if (!s->face->finished(s->s)) differ(d, "%s is not finished after a failure", name_of(s));
  }
  compare_events(d, false);
  if (may_fail_otherwise(d)) {
    d->sides[OURS].goaways.len = d->sides[ORACLE].goaways.len = 0;
    d->sides[OURS].goaway = d->sides[ORACLE].goaway;
  }
  compare_wire(d, false);
  d->stop = true;
}

/* ---- a run ---- */

static void open_stream_windows(diff *d) {
  uint64_t sum = 0;
  for (size_t i = 0; i < d->count; i++) {
    stream *st = &d->streams[i];
    if (!st->of[ORACLE].h2) continue;
    uint64_t left = st->queued - st->of[ORACLE].framed;
    int64_t more = (int64_t)st->queued - stream_allowed(d, st);
    sum += left;
    if (more <= 0) continue;
    window_update(d, st->id, more);
  }
  int64_t more = (int64_t)(d->sides[ORACLE].written + sum) - conn_allowed(d);
  if (more > 0) window_update(d, 0, more);
  peer_deliver(d);
}

/* At the end nothing that was queued may be left behind. */
static void finish(diff *d) {
  if (!d->stop) peer_finish(d);
  if (!d->stop) drain(d);
  if (d->stop || in_doubt(d) || !at_boundary(d)) return;
  open_stream_windows(d);
  if (!d->stop) drain(d);
  if (d->stop) return;
  for (size_t i = 0; i < d->count; i++) {
    const stream *st = &d->streams[i];
    const half *h = &st->of[ORACLE];
    if (h->h2 && h->opened && !st->reset && h->written < st->queued)
      differ(d, "stream %u did not get its payload away", st->id);
  }
}

static void play(diff *d, const uint8_t *script, size_t len) {
  d->script = script;
  d->script_end = script + len;
  script_open(d);
  while (!d->stop && script_step(d)) continue;
  finish(d);
}

const char *diff_run(const h2_face *ours, const h2_face *oracle, const uint8_t *script, size_t len,
                     unsigned how) {
  static diff run;
  diff *d = &run;
  d->how = how;
  d->why = NULL;
  d->stop = d->blind = d->delivering = d->windows_ahead = d->oversized = false;
  d->count = 0;
  d->script = script;
  d->script_end = script + len;
  d->local_bytes = 0;
  d->counter = 0;
  stream_reset(d, &d->streams[STREAMS], 0);
  block_start();
  script_start(d);
  bool three = peer_start(d);
  bool one = side_start(&d->sides[OURS], d, OURS, ours);
  bool two = side_start(&d->sides[ORACLE], d, ORACLE, oracle);
  bool compares = false;
  if (one && two && three) {
    diff_total.scripts++;
    play(d, d->script, (size_t)(d->script_end - d->script));
    compares = !d->stop && !in_doubt(d);
    diff_total.streams += d->count;
  }
  if (one) side_stop(&d->sides[OURS]);
  if (two) side_stop(&d->sides[ORACLE]);
  if (three) peer_stop(d);
  if (!one || !two || !three) differ(d, "a session could not be made");
  for (size_t i = 0; i < d->count; i++) {
    const stream *st = &d->streams[i];
    for (int k = 0; k < SIDES; k++)
      if (st->of[k].told && !st->of[k].closed)
        differ(d, "%s did not close stream %u", name_of(&d->sides[k]), st->id);
    if (compares && !same(&d->streams[i].of[OURS].events, &d->streams[i].of[ORACLE].events, true))
      differ(d, "another end of stream %u", st->id);
  }
  return d->why;
}
