/* What people, or programs, see. */
#include "args.h"
#include "chat.h"
#include "text.h"

#include <caw/json.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAMES 256 /* remembered at a time */

void show_flush(void) {
  if (fflush(stdout) || ferror(stdout)) args_fail(PROGRAM, "cannot write the output");
}

void show_json(client *c, const caw_type *type, const void *message) {
  caw_arena *arena = caw_arena_new(0);
  caw_str text;
  int rc = arena ? caw_json_write(&text, arena, type, message, NULL, NULL) : CAW_ENOMEM;
  (void)c;
  if (rc) args_fail(PROGRAM, "cannot write JSON: %s", caw_strerror(rc));
  fwrite(text.data, 1, text.len, stdout);
  putchar('\n');
  show_flush();
  caw_arena_free(arena);
}

/* Handles of authors, asked for once. */
static const char *name_of(client *c, int64_t id) {
  static struct {
    int64_t id;
    char handle[64];
  } names[NAMES];
  size_t at = (size_t)id % NAMES;
  if (names[at].id == id) return names[at].handle;
  chat_v1_get_user_request request = {.who_case = CHAT_V1_GET_USER_REQUEST_WHO_CASE_USER_ID,
                                      .who.user_id = id};
  chat_v1_get_user_response reply = {0};
  int rc = ask_for(c, &chat_v1_user_service_get_user_method, &request, &reply, NULL);
  names[at].id = id;
  if (rc || !reply.user || !reply.user->handle.len)
    snprintf(names[at].handle, sizeof(names[at].handle), "(user %lld)", (long long)id);
  else
    snprintf(names[at].handle, sizeof(names[at].handle), "%.*s", CAW_STR_ARG(reply.user->handle));
  return names[at].handle;
}

static void print_time(const google_protobuf_timestamp *t) {
  char text[32] = "?";
  struct tm local;
  time_t seconds = t ? (time_t)t->seconds : 0;
  if (localtime_r(&seconds, &local)) strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &local);
  fputs(text, stdout);
}

/* Later lines stand below the first, so that nobody can forge another's. */
static void print_lines(caw_str text) {
  while (text.len) {
    const char *end = memchr(text.data, '\n', text.len);
    size_t n = end ? (size_t)(end - text.data) : text.len;
    text_print(stdout, caw_str_of(text.data, n));
    if (end) fputs("\n        ", stdout);
    if (end) n++;
    text = caw_str_of(text.data + n, text.len - n);
  }
}

void show_message(client *c, const chat_v1_message *m) {
  if (c->json) {
    show_json(c, &chat_v1_message_type, m);
    return;
  }
  print_time(m->sent_at);
  printf(" %lld ", (long long)m->number);
  if (m->kind == CHAT_V1_MESSAGE_KIND_ACTION) fputs("* ", stdout);
  if (m->author_id) text_print(stdout, caw_str_from(name_of(c, m->author_id)));
  else text_print(stdout, m->guest_name);
  if (!m->author_id) fputs(" (guest)", stdout);
  fputs(m->kind == CHAT_V1_MESSAGE_KIND_ACTION ? " " : ": ", stdout);
  print_lines(m->text);
  putchar('\n');
  show_flush();
}

void show_gap(client *c, const chat_v1_gap *g) {
  static const char *const reasons[] = {"missing", "forgotten by the room", "not sent in time",
                                        "damaged on the server's disk"};
  if (c->json) {
    show_json(c, &chat_v1_gap_type, g);
    return;
  }
  int reason = g->reason > 0 && g->reason <= 3 ? g->reason : 0;
  printf("-- messages %lld to %lld: %s --\n", (long long)g->from_number, (long long)g->to_number,
         reasons[reason]);
  show_flush();
}
