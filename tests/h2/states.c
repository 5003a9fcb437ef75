/*
 * RFC 9113 section 5.1, cell by cell: a stream is brought into each of its states
 * and every frame is sent to it. What must come of it stands in two tables, one for
 * the server and one for the client.
 */
#include "wire.h"

#include <stdio.h>
#include <string.h>

/* The columns. '#' is the stream, '$' the block that its state calls for; in what is
 * told of a frame that is accepted, '^' is a new stream's "stream #; ", '~' the
 * "; close # NO_ERROR" of one whose other side has ended, and '&' what the end of the
 * block brings in which the state is. */
static const struct {
  const char *name, *script, *told;
} frames[] = {
    {"DATA", "DATA # 'abc'", "data # 3"},
    {"DATA with END_STREAM", "DATA # es 'abc'", "data # 3; end #~"},
    {"HEADERS", "HEADERS # eh $", "^headers #"},
    {"HEADERS with END_STREAM", "HEADERS # es eh $", "^headers # end; end #~"},
    {"PRIORITY", "PRIORITY # =0 x10", ""},
    {"RST_STREAM", "RST # =8", "close # CANCEL remote"},
    {"WINDOW_UPDATE", "WINDOW # =9", ""},
    {"WINDOW_UPDATE by 0", "WINDOW # =0", ""},
    {"WINDOW_UPDATE by 2^31-1", "WINDOW # =0x7fffffff", ""},
    {"CONTINUATION", "CONTINUATION #", ""},
    {"CONTINUATION with END_HEADERS", "CONTINUATION # eh", "&"},
    {"an unknown frame", "x0b # +ff 'abc'", ""},
    /* The same, with the block in pieces. */
    {"HEADERS, CONTINUATION", "HEADERS #; CONTINUATION # $; CONTINUATION # eh", "^headers #"},
    {"HEADERS with END_STREAM, CONTINUATION", "HEADERS # es $; CONTINUATION # eh",
     "^headers # end; end #~"},
    /* Frames of the connection, which have no business on a stream, in any state: "P".
     * A client's PUSH_PROMISE and the one to a client that wants none, too. */
    {"SETTINGS", "SETTINGS #", ""},
    {"SETTINGS with ACK", "SETTINGS # ack", ""},
    {"PUSH_PROMISE", "PUSH # eh =2 @req", ""},
    {"PING", "PING # 8*00", ""},
    {"PING with ACK", "PING # ack 8*00", ""},
    {"GOAWAY", "GOAWAY # =0 =0", ""},
};

enum {
  H = 2,
  H_END = 3,
  UNFINISHED = 9,
  H_PIECES = 12,
  H_END_PIECES = 13,
  OF_CONNECTION = 14,
  COLUMNS = 20
};

/* The letters of the tables. */
static const struct {
  char letter;
  const char *sent, *also, *told;
} answers[] = {
    {'o', "", NULL, NULL}, /* accepted */
    {'-', "", NULL, ""},   /* read and ignored */
    /* Ignored, as 5.1 permits for every closed stream; and what else it permits. */
    {'x', "", "RST # STREAM_CLOSED | GOAWAY STREAM_CLOSED", ""},
    {'z', "", "RST # PROTOCOL_ERROR | GOAWAY PROTOCOL_ERROR", ""},
    {'y', "", "RST # FLOW_CONTROL | GOAWAY FLOW_CONTROL", ""},
    /* Beyond our GOAWAY: 6.8 lets us ignore it, 5.1 calls the stream idle. */
    {'i', "", "GOAWAY PROTOCOL_ERROR", ""},
    {'p', "RST # PROTOCOL_ERROR", NULL, "close # PROTOCOL_ERROR"},
    {'f', "RST # FLOW_CONTROL", NULL, "close # FLOW_CONTROL"},
    /* 5.1 names a stream error, 5.4.1 permits to end the connection. */
    {'c', "RST # STREAM_CLOSED", "GOAWAY STREAM_CLOSED", "close # STREAM_CLOSED"},
    {'P', "GOAWAY PROTOCOL_ERROR", NULL, ""},
    /* An id that was skipped: closed by 5.1, and "unexpected" by 5.1.1. */
    {'k', "", "GOAWAY PROTOCOL_ERROR | GOAWAY STREAM_CLOSED", ""},
};

/* The rows. A cell is a letter; blanks mean nothing. */
typedef struct state {
  const char *name;
  h2_role role;
  unsigned id;
  const char *script, *told, *sent; /* how to get there, and what that shows */
  const char *block;                /* see '$' and '&' above */
  const char *cells;
  bool local_ended;
  bool waits;  /* the stream's end has not been told when the next frame comes */
  bool inside; /* of a header block */
  bool done;   /* a GOAWAY, and no stream is left: nobody needs to listen any more */
  const h2_config *config;
} state;

/* DATA, HEADERS, PRIORITY, RST_STREAM, WINDOW_UPDATE, CONTINUATION, unknown. */

/* "Receiving any frame other than HEADERS or PRIORITY on a stream in this state MUST
 * be treated as a connection error of type PROTOCOL_ERROR." RST_STREAM to a server:
 * ignored by choice, because gRPC's clients send it. "If this stream is initiated by
 * the server ... receiving a HEADERS frame MUST also be treated" so. */
#define IDLE      "PP oo - - PPP PP -"
#define IDLE_OURS "PP PP - P PPP PP -"
/* 5.1.1: it "is immediately closed", and cannot be opened any more. */
#define SKIPPED "xx kk - - -zy PP -"
/* "may be used by both peers to send frames of any type". HEADERS that do not end the
 * message are malformed (8.1); the two bad updates are stream errors (6.9, 6.9.1). */
#define OPEN "oo po - o -pf PP -"
/* 8.1: DATA before the response is malformed. */
#define UNANSWERED "pp oo - o -pf PP -"
/* "additional frames, other than WINDOW_UPDATE, PRIORITY, or RST_STREAM ... MUST
 * respond with a stream error of type STREAM_CLOSED" */
#define HALF_REMOTE "cc cc - o -pf PP -"
/* "can perform this minimal processing for all streams that are in the closed state";
 * WINDOW_UPDATE, RST_STREAM and PRIORITY are never an error. */
#define CLOSED "xx xx - - -zy PP -"
/* "An endpoint that sends a RST_STREAM frame on a stream that is in the open or
 * half-closed (local) state ... MUST minimally process and then discard any frames". */
#define RESET "-- -- - - -zy PP -"
/* 4.3: "no interleaved frames of any other type or from any other stream". */
#define BLOCK "PP PP P P PPP -o P"

#define OPENED "HEADERS 1 eh @req"
#define ENDED  "HEADERS 1 es eh @req"

static const h2_config one_stream = {.max_streams = 1};

static const state server[] = {
    {"idle", S, 1, "", "", "", "@req", IDLE},
    {"idle, one of the server's", S, 2, "", "", "", "@req", IDLE_OURS},
    {"idle above an open one", S, 3, OPENED, "stream 1; headers 1", "", "@req", IDLE},
    {"skipped", S, 1, "HEADERS 3 es eh @req", "stream 3; headers 3 end; end 3", "", "@req",
     SKIPPED},
    {"open", S, 1, OPENED, "stream 1; headers 1", "", "@trl", OPEN},
    {"open, answered", S, 1, OPENED "; respond 1; send 1 5; drain", "stream 1; headers 1",
     "HEADERS 1; DATA 1 5", "@trl", OPEN},
    {"half-closed (remote)", S, 1, ENDED, "stream 1; headers 1 end; end 1", "", "@trl",
     HALF_REMOTE},
    {"half-closed (remote) by DATA, answered", S, 1, OPENED "; DATA 1 es; respond 1; drain",
     "stream 1; headers 1; end 1", "HEADERS 1", "@trl", HALF_REMOTE},
    {"half-closed (remote) by trailers", S, 1, OPENED "; HEADERS 1 es eh @trl",
     "stream 1; headers 1; headers 1 end; end 1", "", "@trl", HALF_REMOTE},
    {"closed by both", S, 1, ENDED "; reply 1; drain",
     "stream 1; headers 1 end; end 1; close 1 NO_ERROR", "HEADERS 1 es", "@trl", CLOSED},
    {"closed by their RST_STREAM", S, 1, OPENED "; RST 1 =2",
     "stream 1; headers 1; close 1 INTERNAL_ERROR remote", "", "@trl", CLOSED},
    {"closed by our RST_STREAM", S, 1, OPENED "; reset 1 2; drain",
     "stream 1; headers 1; close 1 INTERNAL_ERROR", "RST 1 INTERNAL_ERROR", "@trl", RESET},
    {"closed by our RST_STREAM, which waits", S, 1, OPENED "; reset 1 2",
     "stream 1; headers 1; close 1 INTERNAL_ERROR", "RST 1 INTERNAL_ERROR", "@trl", RESET,
     .waits = true},
    {"closed by our RST_STREAM, half-closed (remote)", S, 1, ENDED "; reset 1 2; drain",
     "stream 1; headers 1 end; end 1; close 1 INTERNAL_ERROR", "RST 1 INTERNAL_ERROR", "@trl",
     CLOSED},
    /* 8.1: the answer is complete, and RST_STREAM with NO_ERROR says so. */
    {"closed by our answer", S, 1, OPENED "; reply 1; drain",
     "stream 1; headers 1; close 1 NO_ERROR", "HEADERS 1 es; RST 1 NO_ERROR", "@trl", RESET},
    {"closed as malformed", S, 1, "HEADERS 1 eh @req [A: v]; drain",
     "stream 1; close 1 PROTOCOL_ERROR", "RST 1 PROTOCOL_ERROR", "@trl", RESET},
    {"refused", S, 1, "refuse; " OPENED "; drain", "refuse 1", "RST 1 REFUSED_STREAM", "@trl",
     RESET},
    {"refused, which waits", S, 1, "refuse; " OPENED, "refuse 1", "RST 1 REFUSED_STREAM", "@trl",
     RESET, .waits = true},
    {"refused, because there are too many", S, 3, OPENED "; HEADERS 3 eh @req; drain",
     "stream 1; headers 1", "RST 3 REFUSED_STREAM", "@trl", "-- -- - - -zy PP -",
     .config = &one_stream},
    {"idle, beyond our GOAWAY", S, 1, "goaway 0 0; drain", "", "GOAWAY NO_ERROR", "@req",
     "ii -- - - iii PP -", .done = true},
    {"open, beyond our GOAWAY", S, 1, OPENED "; goaway 0 0; drain",
     "stream 1; headers 1; close 1 REFUSED_STREAM", "GOAWAY NO_ERROR", "@trl", RESET, .done = true},
    {"open, not beyond our GOAWAY", S, 1, OPENED "; goaway 1 0; drain", "stream 1; headers 1",
     "GOAWAY NO_ERROR", "@trl", OPEN},
    {"idle, after the first of two GOAWAYs", S, 1, "goaway 0xffffffff 0; drain", "",
     "GOAWAY NO_ERROR", "@req", IDLE},
    {"open, after their GOAWAY", S, 1, OPENED "; GOAWAY 0 =0 =0",
     "goaway 0 NO_ERROR ; stream 1; headers 1", "", "@trl", OPEN},
    {"idle, after their GOAWAY", S, 1, "GOAWAY 0 =0 =0", "goaway 0 NO_ERROR ", "", "@req", IDLE,
     .done = true},
    {"inside a request", S, 1, "HEADERS 1 @req", "stream 1", "", "headers 1", BLOCK,
     .inside = true},
    {"inside trailers", S, 1, OPENED "; HEADERS 1 es @trl", "stream 1; headers 1", "",
     "headers 1 end; end 1", BLOCK, .inside = true},
    {"inside a block that is ignored", S, 1, OPENED "; reset 1 2; drain; HEADERS 1 es @trl",
     "stream 1; headers 1; close 1 INTERNAL_ERROR", "RST 1 INTERNAL_ERROR", "", BLOCK,
     .inside = true},
    {"inside another stream's block", S, 1, OPENED "; HEADERS 3 @req", "stream 1; headers 1", "",
     "", "PP PP P P PPP PP P", .inside = true},
};

/* A client has sent its request on stream 1. */
static const state client[] = {
    {"idle", C, 3, "", "", "", "@res", IDLE_OURS},
    {"idle, one of the server's", C, 2, "", "", "", "@res", IDLE_OURS},
    {"open", C, 1, "", "", "", "@res", UNANSWERED},
    {"open, after an interim response", C, 1, "HEADERS 1 eh [:status: 100]",
     "headers 1 informational", "", "@res", UNANSWERED},
    {"open, answered", C, 1, "HEADERS 1 eh @res", "headers 1", "", "@trl", OPEN},
    {"half-closed (local)", C, 1, "finish 1; drain", "", "DATA 1 es 0", "@res", UNANSWERED,
     .local_ended = true},
    {"half-closed (local), answered", C, 1, "finish 1; drain; HEADERS 1 eh @res", "headers 1",
     "DATA 1 es 0", "@trl", OPEN, .local_ended = true},
    {"half-closed (remote)", C, 1, "HEADERS 1 es eh @res", "headers 1 end; end 1", "", "@trl",
     HALF_REMOTE},
    {"half-closed (remote) by DATA", C, 1, "HEADERS 1 eh @res; DATA 1 es", "headers 1; end 1", "",
     "@trl", HALF_REMOTE},
    {"closed by both", C, 1, "finish 1; drain; HEADERS 1 es eh @res",
     "headers 1 end; end 1; close 1 NO_ERROR", "DATA 1 es 0", "@trl", CLOSED},
    {"closed by both, ours last", C, 1, "HEADERS 1 es eh @res; finish 1; drain",
     "headers 1 end; end 1; close 1 NO_ERROR", "DATA 1 es 0", "@trl", CLOSED},
    {"closed by their RST_STREAM", C, 1, "RST 1 =2", "close 1 INTERNAL_ERROR remote", "", "@res",
     CLOSED},
    {"closed by our RST_STREAM", C, 1, "reset 1 2; drain", "close 1 INTERNAL_ERROR",
     "RST 1 INTERNAL_ERROR", "@res", RESET},
    {"closed by our RST_STREAM, which waits", C, 1, "reset 1 2", "close 1 INTERNAL_ERROR",
     "RST 1 INTERNAL_ERROR", "@res", RESET, .waits = true},
    {"closed by our RST_STREAM, half-closed (local)", C, 1, "finish 1; drain; reset 1 2; drain",
     "close 1 INTERNAL_ERROR", "DATA 1 es 0; RST 1 INTERNAL_ERROR", "@res", RESET},
    {"closed as malformed", C, 1, "HEADERS 1 eh @res [A: v]; drain", "close 1 PROTOCOL_ERROR",
     "RST 1 PROTOCOL_ERROR", "@trl", RESET},
    {"beyond their GOAWAY", C, 1, "GOAWAY 0 =0 =0",
     "goaway 0 NO_ERROR ; close 1 REFUSED_STREAM remote", "", "@res", CLOSED, .done = true},
    {"open, not beyond their GOAWAY", C, 1, "GOAWAY 0 =1 =0; HEADERS 1 eh @res",
     "goaway 1 NO_ERROR ; headers 1", "", "@trl", OPEN},
    {"open, after our GOAWAY", C, 1, "goaway 0 0; drain; HEADERS 1 eh @res", "headers 1",
     "GOAWAY NO_ERROR", "@trl", OPEN},
    {"inside a response", C, 1, "HEADERS 1 @res", "", "", "headers 1", BLOCK, .inside = true},
    {"inside trailers", C, 1, "HEADERS 1 eh @res; HEADERS 1 es @trl", "headers 1", "",
     "headers 1 end; end 1", BLOCK, .inside = true},
    {"inside a block that is ignored", C, 1, "reset 1 2; drain; HEADERS 1 es @res",
     "close 1 INTERNAL_ERROR", "RST 1 INTERNAL_ERROR", "", BLOCK, .inside = true},
};

/* ---- a cell becomes a case ---- */

static void put(buf *b, const char *text) {
  assert_int_equal(buf_append(b, text, strlen(text)), 0);
}

/* Appends a text of the tables for a state. */
static void fill(buf *b, const char *text, const state *s) {
  for (; *text; text++) {
    char plain[2] = {*text, '\0'};
    if (*text == '#') buf_printf(b, "%u", s->id);
    else if (*text == '$') put(b, s->inside ? "" : s->block);
    else if (*text == '&') put(b, s->block);
    else if (*text == '^' && !strcmp(s->block, "@req")) buf_printf(b, "stream %u; ", s->id);
    else if (*text == '~' && s->local_ended) buf_printf(b, "; close %u NO_ERROR", s->id);
    else if (*text != '^' && *text != '~') put(b, plain);
  }
}

/* Two lists in the form of a case, put together. */
static const char *join(buf *b, const char *first, const char *then, const state *s) {
  fill(b, first, s);
  size_t len = b->len;
  if (len) put(b, "; ");
  size_t start = b->len;
  fill(b, then, s);
  if (b->len == start) b->len = len;
  assert_int_equal(buf_append(b, "", 1), 0);
  return (const char *)b->data;
}

static char cell_of(const state *s, size_t column) {
  if (column >= OF_CONNECTION) return 'P';
  if (column == H_PIECES) column = H;
  if (column == H_END_PIECES) column = H_END;
  const char *p = s->cells;
  for (; *p == ' ' || column; p++) {
    assert_true(*p != '\0');
    if (*p != ' ') column--;
  }
  return *p;
}

/* Plays a cell. Returns whether it is as it should be. */
static bool play_cell(const state *s, size_t column) {
  char letter = cell_of(s, column);
  size_t a = 0;
  while (answers[a].letter != letter) assert_true(++a < sizeof(answers) / sizeof(answers[0]));
  buf script = {0}, told = {0}, sent = {0}, also = {0}, name = {0}, wrong = {0};
  buf_printf(&name, "%s: %s", s->name, frames[column].name);
  buf_append(&name, "", 1);
  bool ends = letter == 'P';
  wire_case c = {.name = (const char *)name.data, .role = s->role, .config = s->config};
  c.script = join(&script, s->script, frames[column].script, s);
  c.sent = join(&sent, ends ? "" : s->sent, answers[a].sent, s);
  c.told = join(&told, s->told, answers[a].told ? answers[a].told : frames[column].told, s);
  if (answers[a].also) c.also = join(&also, "", answers[a].also, s);
  if (s->done && !c.also) c.also = s->sent;
  bool errs = ends || letter == 'c';
  if (s->done || (errs && (s->waits || s->inside || letter == 'c'))) c.told = NULL;
  if (s->inside && !ends && column == UNFINISHED) c.told = NULL;
  if (s->done) c.flags |= WHOLE;
  if (s->inside && !ends && column == UNFINISHED) c.flags |= INSIDE;
  bool chosen = wire_check(&c, &wrong);
  bool right = wrong.len == 0;
  if (!right) print_message("%s\n%s\n", c.name, wrong.data);
  else if (!chosen) print_message("permitted, not chosen: %s\n", c.name);
  buf *all[] = {&script, &told, &sent, &also, &name, &wrong};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) buf_finish(all[i]);
  return right;
}

static void test_state(void **arg) {
  const state *s = *arg;
  bool right = true;
  for (size_t column = 0; column < COLUMNS; column++) right &= play_cell(s, column);
  assert_true(right);
}

#define SERVERS (sizeof(server) / sizeof(server[0]))
#define CLIENTS (sizeof(client) / sizeof(client[0]))

int main(int argc, char **argv) {
  static struct CMUnitTest tests[SERVERS + CLIENTS];
  static char names[SERVERS + CLIENTS][80];
  for (size_t i = 0; i < SERVERS + CLIENTS; i++) {
    const state *s = i < SERVERS ? &server[i] : &client[i - SERVERS];
    snprintf(names[i], sizeof(names[i]), "%s: %s", i < SERVERS ? "server" : "client", s->name);
    tests[i].name = names[i];
    tests[i].test_func = test_state;
    tests[i].initial_state = (void *)(uintptr_t)s;
  }
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
