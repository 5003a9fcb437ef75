/* The beginnings of setup.h. */
#include "setup.h"

#include "svc_auth.h"
#include "words.h"

#include <chat/v1/room.caw.h>
#include <chat/v1/user.caw.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_LOBBY "lobby"

int setup_folder(const char *path, char why[400]) {
  char lock[4096];
  if (mkdir(path, 0700) && errno != EEXIST) {
    snprintf(why, 400, "cannot make the folder %s: %s", path, strerror(errno));
    return -1;
  }
  if ((size_t)snprintf(lock, sizeof(lock), "%s/lock", path) >= sizeof(lock)) {
    snprintf(why, 400, "the path of the data folder is too long");
    return -1;
  }
  int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    snprintf(why, 400, "cannot write to the folder %s: %s", path, strerror(errno));
    return -1;
  }
  if (!flock(fd, LOCK_EX | LOCK_NB)) return fd;
  snprintf(why, 400, "another chatd uses the folder %s: end it, or choose another with --data",
           path);
  close(fd);
  return -1;
}

/* ---- In the store ---- */

typedef struct setup {
  desk_job job;
  caw_arena *arena;
  char *token;
  bool again;
  int64_t *lobby;
  pthread_mutex_t lock;
  pthread_cond_t over;
  bool done;
  int rc;
} setup;

static int make_token(setup *u, store *s) {
  int64_t owners;
  uint8_t hash[32];
  char hex[65];
  int rc = store_users_with_role(s, CHAT_V1_ROLE_OWNER, &owners);
  u->token[0] = '\0';
  if (rc || (owners && !u->again)) return rc;
  keys_token(u->token, hash);
  sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
  return store_note_put(s, NOTE_OWNER_TOKEN, caw_str_from(hex));
}

static int make_lobby(setup *u, store *s) {
  caw_str note;
  char text[24];
  int rc = store_note_get(s, NOTE_LOBBY, &note, u->arena);
  if (!rc) {
    snprintf(text, sizeof(text), "%.*s", CAW_STR_ARG(note));
    return sscanf(text, "%lld", (long long *)u->lobby) == 1 ? 0 : STORE_DAMAGED;
  }
  if (rc != STORE_NONE) return rc;
  store_room room = {.name = CAW_STR("lobby"),
                     .folded = CAW_STR("lobby"),
                     .topic = CAW_STR("Who writes here as (guest) is not verified."),
                     .visibility = CHAT_V1_VISIBILITY_PUBLIC,
                     .kind = CHAT_V1_ROOM_KIND_GROUP,
                     .created = now_us()};
  rc = store_room_add(s, &room);
  if (rc) return rc;
  *u->lobby = room.id;
  snprintf(text, sizeof(text), "%lld", (long long)room.id);
  return store_note_put(s, NOTE_LOBBY, caw_str_from(text));
}

static int work(desk_job *job, store *s) {
  setup *u = (setup *)job;
  int rc = make_token(u, s);
  return rc || !u->lobby ? rc : make_lobby(u, s);
}

static void done(desk_job *job, int rc) {
  setup *u = (setup *)job;
  pthread_mutex_lock(&u->lock);
  u->rc = rc;
  u->done = true;
  pthread_cond_signal(&u->over);
  pthread_mutex_unlock(&u->lock);
}

int setup_store(desk *d, bool again, char token[KEYS_TOKEN], int64_t *lobby) {
  setup u = {.job = {.work = work, .done = done}, .token = token, .again = again, .lobby = lobby};
  u.arena = caw_arena_new(0);
  if (!u.arena) return CAW_ENOMEM;
  pthread_mutex_init(&u.lock, NULL);
  pthread_cond_init(&u.over, NULL);
  int rc = desk_write(d, &u.job);
  pthread_mutex_lock(&u.lock);
  while (!rc && !u.done) pthread_cond_wait(&u.over, &u.lock);
  pthread_mutex_unlock(&u.lock);
  pthread_cond_destroy(&u.over);
  pthread_mutex_destroy(&u.lock);
  caw_arena_free(u.arena);
  return rc ? rc : u.rc;
}

/* ---- Addresses ---- */

bool is_local(const char *address) {
  static const char *const local[] = {"127.", "[::1]:", "unix:", "unix-abstract:"};
  for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
    if (!strncmp(address, local[i], strlen(local[i]))) return true;
  return false;
}
