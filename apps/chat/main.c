/* chat: a client for terminals and scripts. */
#include "args.h"
#include "chat.h"
#include "text.h"

#include <caw/arena.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SERVER = 256,
  AS,
  JSON,
  PASSWORD_FILE,
  OWNER_TOKEN,
  DISPLAY_NAME,
  TOPIC,
  PRIVATE,
  ALL,
  FOLLOW,
  FROM,
  TIMEOUT
};

static void print_help(void) {
  puts("Usage: " PROGRAM " [OPTION]... COMMAND [ARGUMENT]...\n"
       "\n"
       "  register HANDLE       makes an account; asks for a password, or reads it from the\n"
       "                        standard input when that is no terminal\n"
       "  login HANDLE          logs in\n"
       "  logout                ends the session\n"
       "  whoami                who is logged in, and where\n"
       "  users [PREFIX]        who is there\n"
       "  rooms                 your rooms, with what is unread; --all: all public ones\n"
       "  create ROOM           makes a room; --private, --topic TEXT\n"
       "  join ROOM, leave ROOM\n"
       "  send ROOM TEXT...     sends a message; TEXT \"-\" sends each line of the\n"
       "                        standard input\n"
       "  tail ROOM             the newest messages; --from N: from that number on;\n"
       "                        --follow: and then what comes, until Ctrl+C\n"
       "  read-all ROOM         all messages of the room\n"
       "  count [ROOM]          how many messages there are\n"
       "\n"
       "ROOM is a name, a number, or @HANDLE for the room of you and somebody else.\n"
       "\n"
       "  --server ADDRESS      HOST:PORT, unix:PATH, ... (default: where you logged in\n"
       "                        last; for register and login $CHAT_SERVER, else\n"
       "                        127.0.0.1:50051)\n"
       "  --as HANDLE           as whom, if you are logged in as several\n"
       "  --json                output for programs, one message a line\n"
       "  --password-file FILE  the password is its first line\n"
       "  --owner-token TOKEN   register: become the owner of a new server\n"
       "  --display-name TEXT   register: what others see besides the handle\n"
       "  --timeout SECONDS     for one request (default 15)\n"
       "  --tls                 TLS, with the CAs that this system trusts\n"
       "  --tls-ca FILE         TLS, with these CAs, PEM\n"
       "  --tls-cert FILE, --tls-key FILE  show the server this certificate\n"
       "  --tls-server-name NAME  the name that the server's certificate must have\n"
       "  --help, --version\n"
       "\n"
       "Logins are kept in $XDG_CONFIG_HOME/chat (~/.config/chat).");
}

static void read_option(client *c, int option, const char *value) {
  switch (option) {
  case SERVER:
    c->server = value;
    break;
  case AS:
    c->handle = value;
    break;
  case JSON:
    c->json = true;
    break;
  case PASSWORD_FILE:
    c->password_file = value;
    break;
  case OWNER_TOKEN:
    c->owner_token = value;
    break;
  case DISPLAY_NAME:
    c->display_name = value;
    break;
  case TOPIC:
    c->topic = value;
    break;
  case PRIVATE:
    c->private = true;
    break;
  case ALL:
    c->all = true;
    break;
  case FOLLOW:
    c->follow = true;
    break;
  case FROM:
    c->from = args_number(PROGRAM, "--from", value, 1, 1L << 40);
    break;
  case TIMEOUT:
    c->timeout_ms = args_seconds(PROGRAM, "--timeout", value);
    break;
  default:
    tls_client_option(&c->tls, option, value);
    break;
  }
}

/* ---- Accounts ---- */

/* Whose handle it is: the argument, or --as. */
static const char *handle_of(client *c, int argc, char **argv) {
  if (argc) return argv[0];
  if (!c->handle) args_wrong(PROGRAM, "a handle is missing");
  return c->handle;
}

static void keep(client *c, const char *handle, caw_str token) {
  login l;
  snprintf(l.server, sizeof(l.server), "%s", c->server);
  snprintf(l.handle, sizeof(l.handle), "%s", handle);
  snprintf(l.token, sizeof(l.token), "%.*s", CAW_STR_ARG(token));
  login_keep(&l);
}

static void say_who(client *c, const chat_v1_user *user) {
  if (c->json) {
    show_json(c, &chat_v1_user_type, user);
    return;
  }
  static const char *const roles[] = {"", "guest", "member", "admin", "owner"};
  text_print(stdout, user->handle);
  fputs(" (", stdout);
  text_print(stdout, user->display_name);
  printf("), %s, number %lld, on %s\n",
         user->role >= 0 && user->role <= 4 ? roles[user->role] : "?", (long long)user->id,
         c->server);
}

static void do_register(client *c, int argc, char **argv) {
  char password[300];
  const char *handle = handle_of(c, argc, argv);
  login_password(c->password_file, true, password);
  client_connect(c, false);
  chat_v1_register_request request = {.handle = caw_str_from(handle),
                                      .password = caw_str_from(password),
                                      .display_name = caw_str_from(c->display_name),
                                      .owner_token = caw_str_from(c->owner_token),
                                      .client_name = CAW_STR(PROGRAM),
                                      .request_id = random_id(c)};
  chat_v1_register_response reply;
  ask(c, &chat_v1_auth_service_register_method, &request, &reply);
  keep(c, handle, reply.token);
  if (reply.user) say_who(c, reply.user);
}

static void do_login(client *c, int argc, char **argv) {
  char password[300];
  const char *handle = handle_of(c, argc, argv);
  login_password(c->password_file, false, password);
  client_connect(c, false);
  chat_v1_login_request request = {.handle = caw_str_from(handle),
                                   .password = caw_str_from(password),
                                   .client_name = CAW_STR(PROGRAM),
                                   .request_id = random_id(c)};
  chat_v1_login_response reply;
  ask(c, &chat_v1_auth_service_login_method, &request, &reply);
  keep(c, handle, reply.token);
  if (reply.user) say_who(c, reply.user);
}

/* A session that is no more on the server is none here either. */
static void do_logout(client *c, int argc, char **argv) {
  chat_v1_logout_request request = {0};
  chat_v1_logout_response reply;
  caw_status status;
  (void)argc;
  (void)argv;
  client_connect(c, true);
  int rc = ask_for(c, &chat_v1_auth_service_logout_method, &request, &reply, &status);
  if (rc && rc != CAW_UNAUTHENTICATED) fail_with(c, rc, status.message);
  login gone = *c->who;
  gone.token[0] = '\0';
  login_keep(&gone);
  if (!c->json) printf("%s is logged out of %s\n", gone.handle, gone.server);
}

static void do_whoami(client *c, int argc, char **argv) {
  chat_v1_get_me_request request = {0};
  chat_v1_get_me_response reply;
  (void)argc;
  (void)argv;
  client_connect(c, true);
  ask(c, &chat_v1_user_service_get_me_method, &request, &reply);
  if (reply.user) say_who(c, reply.user);
}

/* ---- Lists ---- */

static void show_user(client *c, const chat_v1_user *user) {
  if (c->json) {
    show_json(c, &chat_v1_user_type, user);
    return;
  }
  text_print(stdout, user->handle);
  printf("%*s ", user->handle.len < 20 ? (int)(20 - user->handle.len) : 0, "");
  text_print(stdout, user->display_name);
  if (user->status_text.len) fputs(" - ", stdout);
  text_print(stdout, user->status_text);
  putchar('\n');
}

static void search_users(client *c, const char *prefix) {
  chat_v1_search_users_request request = {.prefix = caw_str_from(prefix)};
  chat_v1_search_users_response reply;
  do {
    ask(c, &chat_v1_user_service_search_users_method, &request, &reply);
    for (size_t i = 0; i < reply.users.len; i++) show_user(c, &reply.users.items[i]);
    request.page_token = reply.next_page_token;
  } while (reply.next_page_token.len);
}

static void do_users(client *c, int argc, char **argv) {
  chat_v1_list_users_request request = {0};
  chat_v1_list_users_response reply;
  client_connect(c, true);
  if (argc) {
    search_users(c, argv[0]);
    return;
  }
  do {
    ask(c, &chat_v1_user_service_list_users_method, &request, &reply);
    for (size_t i = 0; i < reply.users.len; i++) show_user(c, &reply.users.items[i]);
    request.page_token = reply.next_page_token;
  } while (reply.next_page_token.len);
}

static void show_room(client *c, const chat_v1_room *room) {
  printf("%4lld ", (long long)room->id);
  if (room->kind == CHAT_V1_ROOM_KIND_DIRECT) return;
  text_print(stdout, room->name);
  printf(" (%d people, %lld messages%s)", (int)room->member_count, (long long)room->last_number,
         room->visibility == CHAT_V1_VISIBILITY_PRIVATE ? ", private" : "");
  (void)c;
}

static void show_view(client *c, const chat_v1_room_view *view) {
  if (c->json) {
    show_json(c, &chat_v1_room_view_type, view);
    return;
  }
  if (!view->room) return;
  show_room(c, view->room);
  if (view->other) {
    putchar('@');
    text_print(stdout, view->other->handle);
  }
  if (view->unread_count) printf(", %lld unread", (long long)view->unread_count);
  if (view->mention_count) printf(", %d name you", (int)view->mention_count);
  putchar('\n');
}

static void browse_rooms(client *c) {
  chat_v1_browse_rooms_request request = {0};
  chat_v1_browse_rooms_response reply;
  do {
    ask(c, &chat_v1_room_service_browse_rooms_method, &request, &reply);
    for (size_t i = 0; i < reply.rooms.len; i++) {
      if (c->json) {
        show_json(c, &chat_v1_room_type, &reply.rooms.items[i]);
      } else {
        show_room(c, &reply.rooms.items[i]);
        putchar('\n');
      }
    }
    request.page_token = reply.next_page_token;
  } while (reply.next_page_token.len);
}

static void do_rooms(client *c, int argc, char **argv) {
  chat_v1_list_rooms_request request = {0};
  chat_v1_list_rooms_response reply;
  (void)argc;
  (void)argv;
  client_connect(c, true);
  if (c->all) {
    browse_rooms(c);
    return;
  }
  do {
    ask(c, &chat_v1_room_service_list_rooms_method, &request, &reply);
    for (size_t i = 0; i < reply.rooms.len; i++) show_view(c, &reply.rooms.items[i]);
    request.page_token = reply.next_page_token;
  } while (reply.next_page_token.len);
}

/* ---- Rooms ---- */

static void do_create(client *c, int argc, char **argv) {
  chat_v1_room room = {.name = caw_str_from(argv[0]), .topic = caw_str_from(c->topic)};
  if (c->private) room.visibility = CHAT_V1_VISIBILITY_PRIVATE;
  (void)argc;
  client_connect(c, true);
  chat_v1_create_room_request request = {.room = &room, .request_id = random_id(c)};
  chat_v1_create_room_response reply;
  ask(c, &chat_v1_room_service_create_room_method, &request, &reply);
  if (c->json && reply.room) {
    show_json(c, &chat_v1_room_type, reply.room);
  } else if (reply.room) {
    show_room(c, reply.room);
    putchar('\n');
  }
}

static void do_join(client *c, int argc, char **argv) {
  (void)argc;
  client_connect(c, true);
  chat_v1_join_room_request request = {.room_id = room_id(c, argv[0])};
  chat_v1_join_room_response reply;
  ask(c, &chat_v1_room_service_join_room_method, &request, &reply);
  if (reply.view) show_view(c, reply.view);
}

static void do_leave(client *c, int argc, char **argv) {
  (void)argc;
  client_connect(c, true);
  chat_v1_leave_room_request request = {.room_id = room_id(c, argv[0])};
  chat_v1_leave_room_response reply;
  ask(c, &chat_v1_room_service_leave_room_method, &request, &reply);
}

static void send_command(client *c, int argc, char **argv) {
  client_connect(c, true);
  do_send(c, argv[0], argc - 1, argv + 1);
}

static void tail_command(client *c, int argc, char **argv) {
  (void)argc;
  client_connect(c, true);
  do_tail(c, argv[0]);
}

static void read_all_command(client *c, int argc, char **argv) {
  (void)argc;
  client_connect(c, true);
  do_read_all(c, argv[0]);
}

static void do_count(client *c, int argc, char **argv) {
  chat_v1_count_messages_request request = {0};
  chat_v1_count_messages_response reply;
  client_connect(c, true);
  if (argc) {
    request.of_case = CHAT_V1_COUNT_MESSAGES_REQUEST_OF_CASE_ROOM_ID;
    request.of.room_id = room_id(c, argv[0]);
  }
  ask(c, &chat_v1_chat_service_count_messages_method, &request, &reply);
  if (c->json) show_json(c, &chat_v1_count_messages_response_type, &reply);
  else printf("%lld\n", (long long)reply.count);
}

/* ---- Commands ---- */

static const struct command {
  const char *name;
  int least, most; /* arguments */
  void (*run)(client *c, int argc, char **argv);
} commands[] = {
    {"register", 0, 1, do_register}, {"login", 0, 1, do_login},
    {"logout", 0, 0, do_logout},     {"whoami", 0, 0, do_whoami},
    {"users", 0, 1, do_users},       {"rooms", 0, 0, do_rooms},
    {"create", 1, 1, do_create},     {"join", 1, 1, do_join},
    {"leave", 1, 1, do_leave},       {"send", 2, 1000000, send_command},
    {"tail", 1, 1, tail_command},    {"read-all", 1, 1, read_all_command},
    {"count", 0, 1, do_count},
};

static const struct command *find_command(const char *name) {
  for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
    if (!strcmp(commands[i].name, name)) return &commands[i];
  args_wrong(PROGRAM, "there is no command \"%s\"", name);
}

static void read_args(client *c, int argc, char **argv) {
  static const struct option options[] = {
      {"server", required_argument, NULL, SERVER},
      {"as", required_argument, NULL, AS},
      {"json", no_argument, NULL, JSON},
      TLS_CLIENT_OPTIONS,
      {"password-file", required_argument, NULL, PASSWORD_FILE},
      {"owner-token", required_argument, NULL, OWNER_TOKEN},
      {"display-name", required_argument, NULL, DISPLAY_NAME},
      {"topic", required_argument, NULL, TOPIC},
      {"private", no_argument, NULL, PRIVATE},
      {"all", no_argument, NULL, ALL},
      {"follow", no_argument, NULL, FOLLOW},
      {"from", required_argument, NULL, FROM},
      {"timeout", required_argument, NULL, TIMEOUT},
      ARGS_COMMON,
  };
  int option;
  while ((option = args_next_mixed(PROGRAM, print_help, argc, argv, options, NULL)) != -1)
    read_option(c, option, optarg);
}

int main(int argc, char **argv) {
  client c = {.from = -1, .timeout_ms = 15000};
  signal(SIGPIPE, SIG_DFL); /* as `chat tail | head` expects */
  read_args(&c, argc, argv);
  if (optind == argc) args_wrong(PROGRAM, "a command is missing");
  const struct command *command = find_command(argv[optind]);
  int n = argc - optind - 1;
  if (n < command->least || n > command->most)
    args_wrong(PROGRAM, "%s: %s arguments", command->name,
               n < command->least ? "too few" : "too many");
  command->run(&c, n, argv + optind + 1);
  caw_arena_free(c.arena);
  caw_channel_free(c.channel);
  if (fflush(stdout) || ferror(stdout)) args_fail(PROGRAM, "cannot write the output");
  return EXIT_SUCCESS;
}
