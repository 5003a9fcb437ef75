/* What came of a conversation of wire.h, and whether that is right. */
#include "audit.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_of(buf *b) {
  assert_int_equal(buf_append(b, "", 1), 0);
  return (char *)b->data;
}

static void separate(buf *b) {
  if (b->len) buf_printf(b, "; ");
}

/* ---- what was sent ---- */

typedef struct sent_frame {
  size_t len;
  unsigned type, flags;
  uint32_t id;
  const uint8_t *payload;
} sent_frame;

static uint32_t u32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the frame at *at of e->wire and moves on. */
static bool next_frame(const rig_end *e, size_t *at, sent_frame *f) {
  size_t left = e->wire.len - *at;
  if (!left) return false;
  assert_true(left >= 9);
  const uint8_t *p = e->wire.data + *at;
  *f = (sent_frame){(size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2], p[3], p[4], u32(p + 5), p + 9};
  assert_true(left - 9 >= f->len);
  *at += 9 + f->len;
  return true;
}

static void print_frame(buf *b, const sent_frame *f) {
  static const char *const names[] = {"DATA", "HEADERS", "PRIORITY", "RST",    "SETTINGS",
                                      "PUSH", "PING",    "GOAWAY",   "WINDOW", "CONTINUATION"};
  separate(b);
  buf_printf(b, "%s", f->type <= F_CONTINUATION ? names[f->type] : "?");
  if (f->id || f->type == F_WINDOW) buf_printf(b, " %u", (unsigned)f->id);
  if (f->flags & 1) buf_printf(b, f->type == F_DATA || f->type == F_HEADERS ? " es" : " ack");
  if (f->type == F_RST) buf_printf(b, " %s", rig_code_name(u32(f->payload)));
  if (f->type == F_GOAWAY) buf_printf(b, " %s", rig_code_name(u32(f->payload + 4)));
  if (f->type == F_WINDOW) buf_printf(b, " +%u", (unsigned)u32(f->payload));
  if (f->type != F_PING) return;
  buf_printf(b, " ");
  for (size_t i = 0; i < f->len; i++) buf_printf(b, "%02x", f->payload[i]);
}

/* DATA frames of a stream in a row are one: how they are cut is free. */
static void print_data(buf *b, const rig_end *e, size_t *at, sent_frame *f) {
  size_t total = f->len, next = *at;
  sent_frame g;
  while (!(f->flags & 1) && next_frame(e, &next, &g) && g.type == F_DATA && g.id == f->id) {
    total += g.len;
    *f = g;
    *at = next;
  }
  print_frame(b, f);
  buf_printf(b, " %zu", total);
}

/* What an end sends for the sake of the connection's window: its updates, and PINGs
 * that find out how long the path is. */
static bool is_our_own(const sent_frame *f) {
  return (f->type == F_WINDOW && !f->id) || (f->type == F_PING && !(f->flags & 1));
}

char *wire_sent(const rig_end *e, size_t from, bool windows) {
  buf b = {0};
  sent_frame f;
  while (next_frame(e, &from, &f)) {
    if (f.type == F_DATA) print_data(&b, e, &from, &f);
    else if (f.type == F_CONTINUATION) continue; /* a part of its HEADERS */
    else if (windows || !is_our_own(&f)) print_frame(&b, &f);
  }
  return text_of(&b);
}

/* The user's view of a stream that we have reset. */
static const char *wrong_reset(const rig_end *e, const sent_frame *rst) {
  for (size_t i = 0; i < e->count; i++) {
    const rig_stream *st = &e->streams[i];
    if (st->id != rst->id) continue;
    if (st->closes != 1) return "a stream was reset, and its user not told";
    if (st->remote) return "a stream was reset by us, and the user was told that the peer did";
    if (st->code != u32(rst->payload)) return "RST_STREAM and on_close have different codes";
  }
  return NULL;
}

/* The highest stream that the peer opened and the user took. */
static uint32_t highest_accepted(const rig_end *e, h2_role role) {
  uint32_t id = 0;
  for (size_t i = 0; i < e->count && role == H2_SERVER; i++)
    if (e->streams[i].id > id) id = e->streams[i].id;
  return id;
}

/* Streams that were accepted are in the GOAWAY of an error, others need not be. */
static const char *wrong_goaway(const sent_frame *f, uint32_t accepted, uint32_t *announced) {
  uint32_t id = u32(f->payload), before = *announced;
  *announced = id;
  if (u32(f->payload + 4) == H2_NO_ERROR) return NULL;
  if (id < before && id < accepted) return "GOAWAY leaves out a stream that was accepted";
  return id > wire_highest ? "GOAWAY has the id of a stream that nobody opened" : NULL;
}

const char *wire_wrong(const rig_end *e, size_t from, size_t max_frame) {
  h2_role role = strcmp(e->name, "client") == 0 ? H2_CLIENT : H2_SERVER;
  const char *wrong = audit(e->wire.data, e->wire.len, role, max_frame);
  uint32_t announced = UINT32_MAX, accepted = highest_accepted(e, role);
  sent_frame f;
  if (h2_last_id(e->s) != accepted) return "h2_last_id is not the last that was accepted";
  while (!wrong && next_frame(e, &from, &f)) {
    if (f.type == F_RST) wrong = wrong_reset(e, &f);
    else if (f.type == F_GOAWAY) wrong = wrong_goaway(&f, accepted, &announced);
  }
  return wrong;
}

/* ---- what was told ---- */

static unsigned id_of_line(const char *line) {
  unsigned id = 0;
  static const char *const of_stream[] = {"stream ", "refuse ", "field ", "headers ",
                                          "data ",   "end ",    "close "};
  for (size_t i = 0; i < sizeof(of_stream) / sizeof(of_stream[0]); i++)
    if (!strncmp(line, of_stream[i], strlen(of_stream[i])))
      sscanf(line + strlen(of_stream[i]), "%u", &id);
  return id;
}

/* When a stream's end is told, between what other streams are told, is free. */
char *wire_told(rig_end *e, bool fields) {
  buf b = {0};
  char *log = rig_log(e);
  unsigned id = 0, next;
  do {
    next = UINT32_MAX;
    for (const char *line = log, *end; (end = strchr(line, '\n')); line = end + 1) {
      unsigned of = id_of_line(line);
      if (of > id && of < next) next = of;
      if (of != id || (!fields && !strncmp(line, "field ", 6))) continue;
      separate(&b);
      buf_append(&b, line, (size_t)(end - line));
    }
    id = next;
  } while (id != UINT32_MAX);
  caw_free(log);
  return text_of(&b);
}

/* ---- a case ---- */

typedef struct outcome {
  char *log, *told, *sent; /* the log as it was, and both in a case's form */
  const char *wrong;
} outcome;

static void outcome_finish(outcome *o) {
  caw_free(o->log);
  caw_free(o->told);
  caw_free(o->sent);
}

/* Does an error end the connection, by what was sent? */
static bool ends(const char *sent) {
  while ((sent = strstr(sent, "GOAWAY "))) {
    if (strncmp(sent, "GOAWAY NO_ERROR", 15) != 0) return true;
    sent++;
  }
  return false;
}

/* A connection that has not ended answers; one that has is deaf. */
static const char *probe(rig_end *e, const char *told, const char *sent, bool inside) {
  bool ended = ends(sent), done = h2_finished(e->s);
  if (e->rc != (ended ? CAW_EPROTO : 0))
    return ended ? "GOAWAY, and h2_recv fails not" : "h2_recv fails, and no GOAWAY";
  if (ended && !done) return "the connection has ended, and h2_finished denies it";
  if (!ended && done) /* a GOAWAY, and no stream is left */
    return strstr(sent, "GOAWAY") || strstr(told, "goaway") ? NULL : "h2_finished without a reason";
  if (inside) return NULL;
  size_t from = e->wire.len;
  buf b = {0};
  frame(&b, F_PING, 0, 0, "are you?", 8);
  int rc = h2_recv(e->s, b.data, b.len);
  buf_finish(&b);
  rig_drain(e);
  if (ended) return e->wire.len > from ? "a dead connection answers" : NULL;
  char *answer = wire_sent(e, from, false);
  bool right = rc == 0 && strcmp(answer, "PING ack 61726520796f753f") == 0;
  caw_free(answer);
  return right ? NULL : "the connection does not go on";
}

static outcome play_case(const wire_case *c, unsigned chunk) {
  static rig_end e;
  outcome o = {0};
  size_t from = wire_start(&e, c->role, c->config, c->flags & RAW);
  wire_play(&e, c->script, chunk);
  rig_drain(&e);
  o.log = rig_log(&e);
  o.told = wire_told(&e, c->flags & FIELDS);
  o.sent = wire_sent(&e, from, c->flags & WINDOWS);
  o.wrong = wire_wrong(&e, from, strstr(c->script, " 5=") ? SIZE_MAX : 16384);
  if (!o.wrong) o.wrong = probe(&e, o.told, o.sent, c->flags & INSIDE);
  rig_stop_end(&e);
  if (rig_slices_live) o.wrong = "a slice was not released";
  return o;
}

/* Is it what was asked for? Of a connection that ended only the end counts. */
static bool matches(const char *sent, const char *want, size_t want_len) {
  size_t len = strlen(sent);
  if (len < want_len || memcmp(sent + len - want_len, want, want_len)) return false;
  return len == want_len || (!strncmp(want, "GOAWAY ", 7) && ends(want));
}

static bool is_wanted(const char *sent, const char *want) {
  if (want) return matches(sent, want, strlen(want));
  return !ends(sent) && !strstr(sent, "RST");
}

static bool matches_any(const char *sent, const char *list) {
  while (list) {
    const char *bar = strstr(list, " | ");
    if (matches(sent, list, bar ? (size_t)(bar - list) : strlen(list))) return true;
    list = bar ? bar + 3 : NULL;
  }
  return false;
}

/* Says what is wrong, with both operands; an empty text: nothing is. */
static void judge(buf *b, const wire_case *c, const outcome *o, const outcome *whole,
                  unsigned chunk) {
  if (o->wrong) buf_printf(b, "%s\n", o->wrong);
  if (!is_wanted(o->sent, c->sent) && !matches_any(o->sent, c->also))
    buf_printf(b, "sent: %s\nnot:  %s\n", o->sent, c->sent ? c->sent : "what is no error");
  if (c->told && strcmp(o->told, c->told) != 0)
    buf_printf(b, "told: %s\nnot:  %s\n", o->told, c->told);
  if (!b->len && strcmp(o->log, whole->log) != 0)
    buf_printf(b, "in pieces:\n%swhole:\n%s", o->log, whole->log);
  if (!b->len && c->sent && !ends(o->sent) && strcmp(o->sent, whole->sent) != 0)
    buf_printf(b, "sent: %s\nwhole: %s\n", o->sent, whole->sent);
  if (b->len) buf_printf(b, "(cut %u)\n", chunk);
}

#define CUTS 6 /* whole, octet by octet, and at random */

bool wire_check(const wire_case *c, buf *wrong) {
  outcome whole = play_case(c, 0);
  judge(wrong, c, &whole, &whole, 0);
  for (unsigned chunk = 1; chunk < CUTS && !wrong->len && !(c->flags & WHOLE); chunk++) {
    outcome pieces = play_case(c, chunk);
    judge(wrong, c, &pieces, &whole, chunk);
    outcome_finish(&pieces);
  }
  if (wrong->len) text_of(wrong);
  bool chosen = is_wanted(whole.sent, c->sent);
  outcome_finish(&whole);
  return chosen;
}

static void test_case(void **state) {
  const wire_case *c = *state;
  buf wrong = {0};
  bool chosen = wire_check(c, &wrong), failed = wrong.len != 0;
  if (!failed && !chosen) print_message("permitted, not chosen: %s\n", c->name);
  if (failed) print_message("wrong: %s\n%s", c->name, wrong.data);
  buf_finish(&wrong);
  assert_false(failed);
}

int wire_main(const char *group, const wire_case *cases, size_t n, int argc, char **argv) {
  struct CMUnitTest *tests = calloc(n, sizeof(*tests));
  if (!tests) return 1;
  for (size_t i = 0; i < n; i++) {
    tests[i].name = cases[i].name;
    tests[i].test_func = test_case;
    tests[i].initial_state = (void *)(uintptr_t)&cases[i];
  }
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  int rc = _cmocka_run_group_tests(group, tests, n, NULL, NULL);
  free(tests);
  return rc;
}
