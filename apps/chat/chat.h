/* chat, the client for terminals and scripts: what its files share. */
#ifndef APPS_CHAT_H
#define APPS_CHAT_H

#include "tls.h"

#include <caw/channel.h>
#include <chat/v1/auth.caw.h>
#include <chat/v1/chat.caw.h>

#define PROGRAM "chat"

/* What the command line says, and what comes of it. */
typedef struct client {
  const char *server, *handle; /* NULL: those of the login */
  bool json;
  tls_client_flags tls;
  const char *password_file, *owner_token, *display_name, *topic;
  bool private, all, follow;
  long long from; /* -1: not given */
  uint64_t timeout_ms;

  caw_channel *channel;
  caw_arena *arena;  /* for the whole command */
  struct login *who; /* NULL: nobody is logged in */
} client;

/* ---- login.c: who is logged in where, in a file that is this user's alone ---- */

typedef struct login {
  char server[256], handle[64], token[128];
} login;

/* The login that the command line means, or the newest; false: there is none. */
bool login_find(login *out, const char *server, const char *handle);

/* Keeps a login, as the newest; an empty token removes it. Exits on an error. */
void login_keep(const login *l);

/* The password: from the file, from the terminal without echo (asked for twice if `new`), or
 * the first line of what is piped in. Exits on an error. */
void login_password(const char *file, bool new, char out[300]);

/* ---- ask.c: calls ---- */

/* Makes the channel; `token` says whether the login's is sent. Exits on an error. */
void client_connect(client *c, bool token);

/* Calls a method with one reply, again while the server cannot be reached. Exits, with what is
 * to be done, unless it is OK. */
void ask(client *c, const caw_method *method, const void *request, void *reply);

/* The same, returning the status's code. */
int ask_for(client *c, const caw_method *method, const void *request, void *reply,
            caw_status *status);

/* Says why a call failed, and exits with 1. */
_Noreturn void fail_with(const client *c, int code, caw_str text);

/* May it be tried again? Waits then, longer each time; *tries counts. */
bool try_again(int code, int *tries);

/* A new random id for something that may be sent again. In the client's arena. */
caw_str random_id(client *c);

/* The room that a word means: "12", "kitchen", "@bob". Exits when there is none. */
int64_t room_id(client *c, const char *word);

/* ---- show.c: output ---- */

/* As JSON in one line. */
void show_json(client *c, const caw_type *type, const void *message);

void show_message(client *c, const chat_v1_message *m);
void show_gap(client *c, const chat_v1_gap *g);

/* ---- talk.c: messages ---- */

void do_send(client *c, const char *room, int argc, char **argv);
void do_tail(client *c, const char *room);
void do_read_all(client *c, const char *room);

#endif
