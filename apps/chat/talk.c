/* Messages, sent and read. What is cut goes on by itself: messages are sent again with the
 * same id, which the server knows, and a reader resumes behind the last one that it has. */
#include "args.h"
#include "chat.h"
#include "text.h"

#include <caw/blocking.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MOST 16384
#define WINDOW    64 /* lines on their way */
#define LAST      10 /* messages that tail shows first */

static void check(int rc, const char *what) {
  if (rc) args_fail(PROGRAM, "%s: %s", what, caw_strerror(rc));
}

/* ---- One message ---- */

static void show_sent(client *c, const chat_v1_send_response *r) {
  if (c->json) show_json(c, &chat_v1_send_response_type, r);
  else printf("%lld\n", (long long)r->number);
}

static void send_words(client *c, int64_t room, int argc, char **argv) {
  char text[TEXT_MOST + 1];
  size_t len = 0;
  for (int i = 0; i < argc; i++) {
    int n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", argv[i]);
    if (n < 0 || len + (size_t)n >= sizeof(text))
      args_fail(PROGRAM, "the message has more than %d bytes", TEXT_MOST);
    len += (size_t)n;
  }
  chat_v1_send_request request = {.room_id = room,
                                  .client_message_id = random_id(c),
                                  .text = caw_str_of(text, len)};
  chat_v1_send_response reply;
  ask(c, &chat_v1_chat_service_send_method, &request, &reply);
  show_sent(c, &reply);
}

/* ---- Lines from a pipe ---- */

typedef struct line {
  char *text; /* malloc'd, of `len` bytes: it may have a NUL, which the server refuses */
  size_t len;
  char id[64];
} line;

typedef struct pipe_state {
  client *c;
  int64_t room;
  char base[32]; /* of the ids */
  unsigned long long next, sent, failed;
  line window[WINDOW]; /* those without an ack; a ring */
  size_t first, n;
  caw_stream *stream;
  size_t written; /* how many of the window were sent on this stream */
  bool eof;
  bool skips; /* the rest of a line that is too long */
  char input[TEXT_MOST * 2];
  size_t have;
} pipe_state;

static void cannot_send(pipe_state *p, const char *text, size_t len, caw_str why) {
  p->failed++;
  fprintf(stderr, "%s: \"", PROGRAM);
  text_print(stderr, caw_str_of(text, len < 40 ? len : 40));
  fputs("\": ", stderr);
  text_print(stderr, why);
  fputc('\n', stderr);
}

/* How many bytes the first line in the buffer has; false: it is not whole yet. */
static bool find_line(const pipe_state *p, size_t *n) {
  const char *end = memchr(p->input, '\n', p->have);
  *n = end ? (size_t)(end - p->input) : p->have;
  return end || (p->have && (p->eof || p->have == sizeof(p->input)));
}

/* Takes the first n bytes off, and the newline behind them. True: they are a line to be sent. */
static bool cut_line(pipe_state *p, size_t n, line *out) {
  const bool ends = n < p->have, whole = !p->skips && (ends || p->eof);
  size_t len = n && p->input[n - 1] == '\r' ? n - 1 : n;
  if (!p->skips && len > TEXT_MOST)
    cannot_send(p, p->input, len, caw_str_from("is longer than 16384 bytes"));
  p->skips = !ends && !p->eof;
  bool good = whole && len && len <= TEXT_MOST;
  if (good) {
    out->text = malloc(len);
    if (!out->text) check(CAW_ENOMEM, "cannot go on");
    memcpy(out->text, p->input, len);
    out->len = len;
  }
  p->have -= n + ends;
  memmove(p->input, p->input + n + ends, p->have);
  return good;
}

/* A line from the input, without waiting unless `wait`. False: none now, or the end. */
static bool take_line(pipe_state *p, bool wait, line *out) {
  for (;;) {
    size_t n;
    if (find_line(p, &n)) {
      if (cut_line(p, n, out)) return true;
      continue;
    }
    struct pollfd ready = {STDIN_FILENO, POLLIN, 0};
    if (p->eof || (!wait && poll(&ready, 1, 0) <= 0)) return false;
    ssize_t got = read(STDIN_FILENO, p->input + p->have, sizeof(p->input) - p->have);
    if (got <= 0) p->eof = true;
    else p->have += (size_t)got;
  }
}

static line *window_at(pipe_state *p, size_t i) {
  return &p->window[(p->first + i) % WINDOW];
}

/* The end of a stream: what it had sent is sent again on the next. */
static void lose_stream(pipe_state *p, int *tries) {
  caw_status status;
  int rc = caw_stream_finish(p->stream, p->c->arena, &status);
  p->stream = NULL;
  p->written = 0;
  if (!rc) rc = CAW_UNAVAILABLE; /* nobody asked for its end */
  if (!try_again(rc, tries)) fail_with(p->c, rc, status.message);
}

static void drop_line(pipe_state *p, size_t at) {
  free(window_at(p, at)->text);
  for (size_t i = at; i + 1 < p->n; i++) *window_at(p, i) = *window_at(p, i + 1);
  p->n--;
}

static void write_window(pipe_state *p) {
  while (p->written < p->n) {
    const line *l = window_at(p, p->written);
    chat_v1_send_request send = {.room_id = p->room,
                                 .client_message_id = caw_str_from(l->id),
                                 .text = caw_str_of(l->text, l->len)};
    const chat_v1_chat_request request = {.what_case = CHAT_V1_CHAT_REQUEST_WHAT_CASE_SEND,
                                          .what.send = &send};
    int rc = chat_v1_chat_service_chat_write(p->stream, &request);
    if (rc == CAW_EUTF8) {
      cannot_send(p, l->text, l->len, caw_str_from("is not UTF-8"));
      drop_line(p, p->written);
      continue;
    }
    if (rc) return; /* reading tells why */
    p->written++;
  }
}

/* What one ack says. A line that cannot be sent is told of, and the others go on. */
static void take_ack(pipe_state *p, const chat_v1_ack *ack) {
  line *l = window_at(p, 0);
  if (!p->written || !caw_str_is(ack->client_message_id, l->id)) return;
  if (ack->result_case == CHAT_V1_ACK_RESULT_CASE_SENT) {
    p->sent++;
    if (p->c->json) show_json(p->c, &chat_v1_ack_type, ack);
  } else {
    const bool told = ack->result_case == CHAT_V1_ACK_RESULT_CASE_ERROR;
    cannot_send(p, l->text, l->len,
                told ? ack->result.error->message : caw_str_from("was refused"));
  }
  free(l->text);
  p->first = (p->first + 1) % WINDOW;
  p->n--;
  p->written--;
}

static bool read_ack(pipe_state *p) {
  chat_v1_chat_response response;
  caw_arena *arena = caw_arena_new(0);
  int rc = arena ? chat_v1_chat_service_chat_read(p->stream, &response, arena) : CAW_ENOMEM;
  if (!rc && response.what_case == CHAT_V1_CHAT_RESPONSE_WHAT_CASE_ACK)
    take_ack(p, response.what.ack);
  caw_arena_free(arena);
  return !rc;
}

static void send_lines(client *c, int64_t room) {
  static pipe_state p;
  int tries = 0;
  p.c = c;
  p.room = room;
  snprintf(p.base, sizeof(p.base), "%.*s", CAW_STR_ARG(random_id(c)));
  for (;;) {
    bool more = p.n < WINDOW && take_line(&p, p.n == 0, window_at(&p, p.n));
    if (more) {
      line *l = window_at(&p, p.n++);
      snprintf(l->id, sizeof(l->id), "%s-%llu", p.base, p.next++);
    }
    if (!p.n) break;
    if (!p.stream)
      check(chat_v1_chat_service_chat(&p.stream, c->channel,
                                      &(caw_call_options){.size = sizeof(caw_call_options),
                                                          .wait_for_ready = true}),
            "cannot begin to chat");
    write_window(&p);
    if (!p.n || (more && p.n < WINDOW)) continue; /* more may be there already */
    if (read_ack(&p)) tries = 0;
    else lose_stream(&p, &tries);
  }
  if (p.stream) caw_stream_finish(p.stream, NULL, NULL);
  if (!c->json) fprintf(stderr, "%s: sent %llu messages\n", PROGRAM, p.sent);
  if (p.failed) exit(EXIT_FAILED);
}

void do_send(client *c, const char *room, int argc, char **argv) {
  int64_t id = room_id(c, room);
  if (argc == 1 && !strcmp(argv[0], "-")) send_lines(c, id);
  else send_words(c, id, argc, argv);
}

/* ---- Reading ---- */

/* Pages from a number on, or the newest page; returns the last number that was shown. */
static int64_t show_pages(client *c, int64_t room) {
  int64_t last = 0;
  bool more = true;
  chat_v1_get_messages_request request = {.room_id = room, .page_size = LAST};
  if (c->from > 0) {
    request.where_case = CHAT_V1_GET_MESSAGES_REQUEST_WHERE_CASE_AFTER_NUMBER;
    request.where.after_number = c->from - 1;
    request.page_size = 500;
  }
  while (more) {
    chat_v1_get_messages_response reply;
    ask(c, &chat_v1_chat_service_get_messages_method, &request, &reply);
    for (size_t i = 0; i < reply.gaps.len; i++)
      if (c->from > 0 || reply.gaps.items[i].reason == CHAT_V1_GAP_DATA_LOSS)
        show_gap(c, &reply.gaps.items[i]);
    for (size_t i = 0; i < reply.messages.len; i++) show_message(c, &reply.messages.items[i]);
    if (reply.messages.len) last = reply.messages.items[reply.messages.len - 1].number;
    if (reply.gaps.len && reply.gaps.items[reply.gaps.len - 1].to_number > last)
      last = reply.gaps.items[reply.gaps.len - 1].to_number;
    more = c->from > 0 && reply.more_after && last >= request.where.after_number;
    request.where.after_number = last;
  }
  return last;
}

/* What was shown has been read. Not every message of a crowd is worth a call. */
static void mark_read(client *c, int64_t room, int64_t number, bool now) {
  static int64_t marked;
  static time_t when;
  if (number <= marked || (!now && time(NULL) == when && number < marked + 100)) return;
  chat_v1_mark_read_request request = {.room_id = room, .number = number};
  chat_v1_mark_read_response reply;
  ask_for(c, &chat_v1_chat_service_mark_read_method, &request, &reply, NULL);
  marked = number;
  when = time(NULL);
}

static void show_event(client *c, const chat_v1_event *event, int64_t *last) {
  if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_MESSAGE) {
    *last = event->what.message->number;
    if (*last >= c->from) show_message(c, event->what.message);
  } else if (event->what_case == CHAT_V1_EVENT_WHAT_CASE_GAP) {
    if (event->what.gap->reason == CHAT_V1_GAP_TOO_SLOW) return; /* it resumes */
    show_gap(c, event->what.gap);
    *last = event->what.gap->to_number;
  }
}

/* Follows until the stream ends; returns why. */
static int follow(client *c, int64_t room, int64_t *last, caw_status *status, int *tries) {
  chat_v1_position position = {.room_id = room, .after_number = *last};
  chat_v1_subscribe_request request = {.rooms = {&position, 1}};
  const caw_call_options options = {.size = sizeof(options), .wait_for_ready = true};
  caw_stream *stream = NULL;
  chat_v1_event event;
  caw_arena *arena = caw_arena_new(0);
  int rc =
      arena ? chat_v1_chat_service_subscribe(&stream, c->channel, &request, &options) : CAW_ENOMEM;
  check(rc, "cannot subscribe");
  while (!(rc = chat_v1_chat_service_subscribe_read(stream, &event, arena))) {
    show_event(c, &event, last);
    if (event.what_case == CHAT_V1_EVENT_WHAT_CASE_MESSAGE) mark_read(c, room, *last, false);
    *tries = 0;
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
  return caw_stream_finish(stream, c->arena, status);
}

void do_tail(client *c, const char *room) {
  caw_status status;
  int64_t id = room_id(c, room);
  int64_t last = show_pages(c, id);
  int tries = 0, rc;
  mark_read(c, id, last, true);
  if (!c->follow) return;
  do {
    rc = follow(c, id, &last, &status, &tries);
    if (rc == CAW_RESOURCE_EXHAUSTED || rc == CAW_OK) rc = CAW_UNAVAILABLE; /* it resumes */
  } while (try_again(rc, &tries));
  fail_with(c, rc, status.message);
}

/* Shows what is behind *last; returns why it ended. */
static int read_all(client *c, int64_t room, int64_t *last, caw_status *status, int *tries) {
  chat_v1_read_all_request request = {.room_id = room};
  const caw_call_options options = {.size = sizeof(options), .wait_for_ready = true};
  chat_v1_read_all_response reply;
  caw_stream *stream = NULL;
  check(chat_v1_chat_service_read_all(&stream, c->channel, &request, &options), "cannot read");
  caw_arena *arena = caw_arena_new(0);
  if (!arena) check(CAW_ENOMEM, "cannot read");
  while (!chat_v1_chat_service_read_all_read(stream, &reply, arena)) {
    if (reply.what_case == CHAT_V1_READ_ALL_RESPONSE_WHAT_CASE_MESSAGE &&
        reply.what.message->number > *last) {
      show_message(c, reply.what.message);
      *last = reply.what.message->number;
      *tries = 0;
    } else if (reply.what_case == CHAT_V1_READ_ALL_RESPONSE_WHAT_CASE_GAP &&
               reply.what.gap->to_number > *last) {
      show_gap(c, reply.what.gap);
      *last = reply.what.gap->to_number;
    }
    caw_arena_reset(arena);
  }
  caw_arena_free(arena);
  return caw_stream_finish(stream, c->arena, status);
}

void do_read_all(client *c, const char *word) {
  caw_status status;
  int64_t room = room_id(c, word), last = 0;
  int rc, tries = 0;
  do {
    rc = read_all(c, room, &last, &status, &tries);
  } while (rc && try_again(rc, &tries));
  if (rc) fail_with(c, rc, status.message);
}
