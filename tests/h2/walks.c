/*
 * Every conversation of up to four steps about one stream (five in a release): what the
 * peer may send and what the user may call, in any order. A client's request comes on
 * top. A model of the stream, which knows nothing of src/h2, says what must be told and
 * sent at each step. It is RFC 9113 sections 5.1 and 8.1, and the promises of h2.h.
 */
#include "wire.h"

#include <stdio.h>
#include <string.h>

#ifdef NDEBUG
#define STEPS 5
#else
#define STEPS 4
#endif
#define MOST (STEPS + 1) /* steps of a client */

typedef enum action {
  /* The peer's. */
  HEADERS, /* a request, a response, or trailers that do not end */
  HEADERS_END,
  INTERIM,  /* client: a response 1xx */
  TRAILERS, /* client: fields without a status, and the end */
  BLOCK,    /* HEADERS_END, of which the last frame is missing */
  REST,     /* and that */
  DATA,
  DATA_END,
  RESET,
  UPDATE,
  GOAWAY,  /* which spares the stream */
  REFUSAL, /* client: one that does not */
  /* The user's. */
  REQUEST,
  RESPOND,
  SEND,
  FINISH,
  FINISH_TRAILERS,
  CANCEL,
  CONSUME,
  LEAVE,    /* a last GOAWAY, which spares the stream */
  REFUSE,   /* one that does not */
  ANNOUNCE, /* server: the first of two */
  ACTIONS
} action;

/* What a stream is, and the connection around it. */
typedef struct model {
  bool client;
  bool used, live;           /* idle: neither; closed: used */
  bool answered;             /* the peer's first block, a final one, has come */
  bool remote_ended;         /* half-closed (remote), if live */
  bool begun, local_ended;   /* our first block; half-closed (local) */
  bool left, refused;        /* we have sent a last GOAWAY; one that spares no stream */
  bool heard, heard_refusal; /* the same of the peer */
  enum { NONE, OPENING, ENDING, IGNORED } block; /* that is not complete */
  bool early;                                    /* OPENING: the user knows of the stream already */
  bool dead;
} model;

/* What a step must show. */
typedef struct step {
  char script[80], told[120], sent[80];
  const char *also; /* what may be sent instead, and is the end; or NULL */
  bool may_know;    /* "stream 1" may be told now or with the rest of the block */
} step;

static void tell(step *x, const char *text) {
  if (*x->told) strcat(x->told, "; ");
  strcat(x->told, text);
}

static void send(step *x, const char *text) {
  if (*x->sent) strcat(x->sent, "; ");
  strcat(x->sent, text);
}

/* ---- ends ---- */

static void session_error(model *m, step *x, const char *goaway) {
  m->dead = true;
  send(x, goaway);
}

static void gone(model *m) {
  m->live = false;
  if (m->block) m->block = IGNORED;
}

static void malformed(model *m, step *x) {
  send(x, "RST 1 PROTOCOL_ERROR");
  tell(x, "close 1 PROTOCOL_ERROR");
  gone(m);
}

/* A frame of a peer that has ended its side. */
static void too_late(model *m, step *x) {
  send(x, "RST 1 STREAM_CLOSED");
  tell(x, "close 1 STREAM_CLOSED");
  x->also = "GOAWAY STREAM_CLOSED";
  gone(m);
}

static void remote_end(model *m, step *x) {
  tell(x, "end 1");
  m->remote_ended = true;
  if (!m->local_ended) return;
  tell(x, "close 1 NO_ERROR");
  gone(m);
}

static void local_end(model *m, step *x) {
  m->local_ended = true;
  if (!m->remote_ended && m->client) return;
  if (!m->remote_ended) send(x, "RST 1 NO_ERROR"); /* 8.1: stop, all is said */
  tell(x, "close 1 NO_ERROR");
  gone(m);
}

/* ---- what the peer sends ---- */

/* A header block is complete. `status`: it has what begins a message. */
static void block_came(model *m, step *x, bool status, bool interim, bool end) {
  if (m->client && !m->used) {
    session_error(m, x, "GOAWAY PROTOCOL_ERROR");
  } else if (!m->used) {
    m->used = true;
    m->live = !m->left;
    if (m->live) tell(x, "stream 1");
  }
  if (!m->live || m->dead) return;
  bool first = !m->answered;
  if (m->remote_ended) {
    too_late(m, x);
  } else if (interim && first && !end) {
    tell(x, "headers 1 informational");
  } else if (interim || first != status || (!first && !end)) {
    malformed(m, x);
  } else {
    m->answered = true;
    tell(x, end ? "headers 1 end" : "headers 1");
    if (end) remote_end(m, x);
  }
}

static void data_came(model *m, step *x, bool end) {
  if (!m->used && m->left && !m->client) {
    x->also = "GOAWAY PROTOCOL_ERROR"; /* idle, and beyond our GOAWAY */
  } else if (!m->used) {
    session_error(m, x, "GOAWAY PROTOCOL_ERROR");
  } else if (m->live && m->remote_ended) {
    too_late(m, x);
  } else if (m->live && !m->answered) {
    malformed(m, x);
  } else if (m->live) {
    tell(x, "data 1 3");
    if (end) remote_end(m, x);
  }
}

static void block_began(model *m, step *x) {
  if (m->client && !m->used) {
    session_error(m, x, "GOAWAY PROTOCOL_ERROR");
  } else if (!m->used && !m->left) {
    m->block = OPENING;
    x->may_know = true;
  } else {
    m->block = m->live ? ENDING : IGNORED;
    m->used = true;
  }
}

static void block_ended(model *m, step *x) {
  int block = m->block;
  m->block = NONE;
  if (block == IGNORED) return;
  block_came(m, x, !m->answered, false, true);
  if (block == OPENING && m->early) memmove(x->told, x->told + 10, strlen(x->told + 10) + 1);
}

static void reset_came(model *m, step *x) {
  if (!m->used && m->client) session_error(m, x, "GOAWAY PROTOCOL_ERROR");
  if (!m->live) return;
  tell(x, "close 1 CANCEL remote");
  gone(m);
}

static void goaway_came(model *m, step *x, bool refuses) {
  m->heard = true;
  tell(x, m->client && !refuses ? "goaway 1 NO_ERROR " : "goaway 0 NO_ERROR ");
  if (!refuses) return;
  m->heard_refusal = true;
  if (m->live) tell(x, "close 1 REFUSED_STREAM remote");
  gone(m);
}

/* What the peer does; false: it makes no sense here, or says nothing new. */
static bool peer(model *m, step *x, action a) {
  const char *first = m->client ? "@res" : "@req", *script = NULL;
  const char *block = (m->client ? m->answered : m->used) ? "@trl" : first;
  bool client_only = a == INTERIM || a == TRAILERS || a == REFUSAL;
  if ((client_only && !m->client) || (a == BLOCK && m->live && m->remote_ended)) return false;
  if (a == GOAWAY && m->client && m->heard_refusal) return false; /* its last id would grow */
  static const char *const scripts[] = {[INTERIM] = "HEADERS 1 eh [:status: 100]",
                                        [TRAILERS] = "HEADERS 1 es eh @trl",
                                        [REST] = "CONTINUATION 1 eh",
                                        [DATA] = "DATA 1 'abc'",
                                        [DATA_END] = "DATA 1 es 'abc'",
                                        [RESET] = "RST 1 =8",
                                        [UPDATE] = "WINDOW 1 =9",
                                        [REFUSAL] = "GOAWAY 0 =0 =0"};
  if (a == HEADERS || a == HEADERS_END) {
    bool trailers = !m->client && m->used;
    snprintf(x->script, sizeof(x->script), "HEADERS 1 %s eh %s", a == HEADERS ? "" : "es",
             trailers ? "@trl" : first);
  } else if (a == BLOCK) {
    snprintf(x->script, sizeof(x->script), "HEADERS 1 es %s", block);
  } else {
    script = a == GOAWAY ? m->client ? "GOAWAY 0 =1 =0" : "GOAWAY 0 =0 =0" : scripts[a];
    strcpy(x->script, script);
  }
  if ((m->block != NONE) != (a == REST)) {
    session_error(m, x, "GOAWAY PROTOCOL_ERROR"); /* 4.3, 6.10 */
    return true;
  }
  switch ((int)a) {
  case HEADERS:
  case HEADERS_END: /* a server's second block has no pseudo-header fields */
    block_came(m, x, m->client || !m->used, false, a == HEADERS_END);
    break;
  case INTERIM:
    block_came(m, x, true, true, false);
    break;
  case TRAILERS:
    block_came(m, x, false, false, true);
    break;
  case BLOCK:
    block_began(m, x);
    break;
  case REST:
    block_ended(m, x);
    break;
  case DATA:
  case DATA_END:
    data_came(m, x, a == DATA_END);
    break;
  case RESET:
    reset_came(m, x);
    break;
  case UPDATE: /* of a stream that is closed, it is ignored */
    if (!m->used && m->left && !m->client) x->also = "GOAWAY PROTOCOL_ERROR";
    else if (!m->used) session_error(m, x, "GOAWAY PROTOCOL_ERROR");
    break;
  default:
    goaway_came(m, x, a == REFUSAL);
  }
  return true;
}

/* ---- what the user does ---- */

static void fails(step *x) {
  char text[40];
  snprintf(text, sizeof(text), "%.*s failed", (int)strcspn(x->script, " "), x->script);
  tell(x, text);
}

static void our_goaway(model *m, step *x, bool refuses) {
  m->left = true;
  send(x, "GOAWAY NO_ERROR");
  if (!refuses || m->client) return;
  m->refused = true;
  if (m->live) tell(x, "close 1 REFUSED_STREAM");
  gone(m);
}

/* A call on the live stream. */
static bool stream_call(model *m, step *x, action a) {
  static const char *const scripts[] = {[RESPOND] = "respond 1",
                                        [SEND] = "send 1 3",
                                        [FINISH] = "finish 1",
                                        [CANCEL] = "reset 1 8",
                                        [CONSUME] = "consume 1 3"};
  if (!m->live || m->block == OPENING || (a == RESPOND && m->client)) return false;
  strcpy(x->script, a != FINISH_TRAILERS ? scripts[a] : m->begun ? "trailers 1" : "reply 1");
  if (a == CANCEL) {
    send(x, "RST 1 CANCEL");
    tell(x, "close 1 CANCEL");
    gone(m);
  } else if (a == RESPOND) {
    if (m->begun) fails(x);
    else send(x, "HEADERS 1");
    m->begun = true;
  } else if (a != CONSUME && (m->local_ended || (!m->begun && a != FINISH_TRAILERS))) {
    fails(x);
  } else if (a == SEND) {
    send(x, "DATA 1 3");
  } else if (a != CONSUME) {
    m->begun = true;
    send(x, a == FINISH ? "DATA 1 es 0" : "HEADERS 1 es");
    local_end(m, x);
  }
  return true;
}

static bool user(model *m, step *x, action a) {
  if (a == LEAVE || a == REFUSE) {
    if (m->block == OPENING || m->refused) return false;
    if (a == REFUSE && (m->client || !m->used)) return false; /* the same as LEAVE */
    bool spares = a == LEAVE && m->used;
    snprintf(x->script, sizeof(x->script), "goaway %d 0", spares);
    our_goaway(m, x, a == REFUSE);
    return true;
  }
  if (a == ANNOUNCE) {
    strcpy(x->script, "goaway 0xffffffff 0");
    if (!m->left) send(x, "GOAWAY NO_ERROR");
    return !m->client;
  }
  if (a != REQUEST) return stream_call(m, x, a);
  if (!m->client || m->used) return false;
  strcpy(x->script, "request");
  if (m->left || m->heard) {
    fails(x);
    return true;
  }
  send(x, "HEADERS 1");
  m->used = m->live = m->begun = true;
  return true;
}

static bool expect(model *m, step *x, action a) {
  *x = (step){.also = NULL};
  return a < REQUEST ? peer(m, x, a) : user(m, x, a);
}

/* ---- the walk ---- */

static const h2_config config = {.max_streams = 1};
static size_t walks;

/* The step as it was, against the model. Adjusts the model where there is a choice. */
static bool as_expected(rig_end *e, size_t from, model *m, const step *x) {
  char *told = wire_told(e, false), *sent = wire_sent(e, from, false);
  bool instead = x->also && !strcmp(sent, x->also);
  bool known = x->may_know && !strcmp(told, "stream 1");
  bool right = instead ? !*told : !strcmp(sent, x->sent) && (known || !strcmp(told, x->told));
  if (known) m->early = true;
  if (instead) m->dead = true;
  right = right && e->rc == (m->dead ? CAW_EPROTO : 0);
  if (!right)
    print_message("at: %s\ntold: %s\nnot:  %s\nsent: %s\nnot:  %s\n", x->script, told, x->told,
                  sent, x->sent);
  caw_free(told);
  caw_free(sent);
  e->log.len = 0;
  return right;
}

static void print_walk(const char *scripts) {
  print_message("walk: %s\n", scripts);
}

/* Plays a walk, and checks each step or, without output between the steps, what holds
 * always. Returns false when it cannot be gone, or not further. */
static bool play(bool client, const action *walk, size_t n, bool output) {
  static rig_end e;
  model m = {.client = client};
  char scripts[MOST * 90] = "";
  unsigned cut = 0;
  bool possible = true;
  size_t from = 0, begin;
  step x;
  for (size_t i = 0; i < n && possible; i++) { /* before anything is made */
    possible = !m.dead && expect(&m, &x, walk[i]);
    cut = cut * 5 + (unsigned)walk[i];
    if (m.dead && i + 1 < n) possible = false;
  }
  if (!possible) return false;
  walks++;
  m = (model){.client = client};
  rig_start_end(&e, client ? H2_CLIENT : H2_SERVER, &config);
  wire_play(&e, client ? "SETTINGS 0; SETTINGS 0 ack" : "MAGIC; SETTINGS 0; SETTINGS 0 ack", 0);
  rig_drain(&e);
  e.log.len = 0;
  begin = e.wire.len;
  for (size_t i = 0; i < n && possible; i++) {
    expect(&m, &x, walk[i]);
    strcat(scripts, x.script);
    strcat(scripts, "; ");
    from = e.wire.len;
    wire_play(&e, x.script, cut % 3);
    if (!output) continue;
    rig_drain(&e);
    possible = as_expected(&e, from, &m, &x);
    if (!possible || (m.dead && i + 1 < n)) break;
  }
  rig_drain(&e);
  const char *wrong = wire_wrong(&e, begin, 16384);
  if (wrong) print_message("%s\n", wrong);
  if (wrong || !possible) print_walk(scripts);
  assert_true(possible && !wrong);
  rig_stop_end(&e);
  assert_int_equal(rig_slices_live, 0);
  return !m.dead;
}

static void go_on(bool client, action *walk, size_t n, bool output) {
  for (int a = 0; a < ACTIONS; a++) {
    walk[n] = (action)a;
    if (play(client, walk, n + 1, output) && n + 1 < (client ? MOST : STEPS))
      go_on(client, walk, n + 1, output);
  }
}

static void test_walks(bool client, bool output) {
  action walk[MOST];
  walks = 0;
  go_on(client, walk, 0, output);
  print_message("%zu walks\n", walks);
  assert_true(walks > 5000);
}

static void test_server(void **state) {
  (void)state;
  test_walks(false, true);
}

static void test_client(void **state) {
  (void)state;
  test_walks(true, true);
}

/* Nothing is written until the end, as when the socket is full: then the order of what
 * is told may differ, and only what holds always is asked for. */
static void test_server_without_output(void **state) {
  (void)state;
  test_walks(false, false);
}

static void test_client_without_output(void **state) {
  (void)state;
  test_walks(true, false);
}

int main(void) {
  rig_wire_room = 1 << 10; /* a million times */
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_server),
      cmocka_unit_test(test_client),
      cmocka_unit_test(test_server_without_output),
      cmocka_unit_test(test_client_without_output),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
