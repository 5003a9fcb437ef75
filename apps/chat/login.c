/* Logins: one line "SERVER HANDLE TOKEN" each, the newest first, in
 * $XDG_CONFIG_HOME/chat/logins, which only this user can read. */
#include "args.h"
#include "chat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define MOST 64

static void make_folder(const char *path) {
  if (mkdir(path, 0700) && errno != EEXIST)
    args_fail(PROGRAM, "cannot make the folder %s: %s", path, strerror(errno));
}

/* The folder's path, made if need be. */
static void folder_path(char out[3072]) {
  const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  int n;
  if (config && config[0] == '/') {
    n = snprintf(out, 3072, "%s", config);
  } else {
    if (!home || !home[0])
      args_fail(PROGRAM, "neither XDG_CONFIG_HOME nor HOME says where the logins are kept");
    n = snprintf(out, 3072, "%s/.config", home);
  }
  if (n < 0 || n > 3000) args_fail(PROGRAM, "the path of the logins is too long");
  make_folder(out);
  strcat(out, "/chat");
  make_folder(out);
}

static int read_logins(const char *path, login all[MOST]) {
  char line[512];
  int n = 0;
  struct stat st;
  FILE *file = fopen(path, "re");
  if (!file && errno == ENOENT) return 0;
  if (!file || fstat(fileno(file), &st))
    args_fail(PROGRAM, "cannot read %s: %s", path, strerror(errno));
  if (st.st_mode & 077)
    args_fail(PROGRAM, "others can read %s, which has secrets: chmod 600 it, and log in again",
              path);
  while (n < MOST && fgets(line, sizeof(line), file)) {
    login *l = &all[n];
    if (sscanf(line, "%255s %63s %127s", l->server, l->handle, l->token) == 3) n++;
  }
  fclose(file);
  return n;
}

bool login_find(login *out, const char *server, const char *handle) {
  char folder[3072], path[4096];
  login all[MOST];
  folder_path(folder);
  snprintf(path, sizeof(path), "%s/logins", folder);
  int n = read_logins(path, all);
  for (int i = 0; i < n; i++) {
    if (server && strcmp(server, all[i].server)) continue;
    if (handle && strcmp(handle, all[i].handle)) continue;
    *out = all[i];
    return true;
  }
  return false;
}

static void write_logins(const char *path, const login *first, const login *rest, int n) {
  char temporary[4200];
  snprintf(temporary, sizeof(temporary), "%s.%ld", path, (long)getpid());
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
  if (!file) args_fail(PROGRAM, "cannot write %s: %s", temporary, strerror(errno));
  if (first->token[0]) fprintf(file, "%s %s %s\n", first->server, first->handle, first->token);
  for (int i = 0; i < n; i++)
    if (strcmp(first->server, rest[i].server) || strcmp(first->handle, rest[i].handle))
      fprintf(file, "%s %s %s\n", rest[i].server, rest[i].handle, rest[i].token);
  bool bad = fflush(file) || fsync(fd) || ferror(file);
  if (fclose(file) || bad || rename(temporary, path))
    args_fail(PROGRAM, "cannot write %s: %s", path, strerror(errno));
}

/* Two at once take turns. */
void login_keep(const login *l) {
  char folder[3072], path[4096];
  login all[MOST];
  folder_path(folder);
  int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock >= 0) flock(lock, LOCK_EX);
  snprintf(path, sizeof(path), "%s/logins", folder);
  write_logins(path, l, all, read_logins(path, all));
  if (lock >= 0) close(lock);
}

/* ---- Passwords ---- */

static void read_line(FILE *file, char out[300], const char *what) {
  if (!fgets(out, 300, file)) args_fail(PROGRAM, "there is no password in %s", what);
  out[strcspn(out, "\r\n")] = '\0';
  if (!out[0]) args_fail(PROGRAM, "the password is empty");
}

static void ask_terminal(FILE *tty, const char *prompt, char out[300]) {
  struct termios old, quiet;
  fputs(prompt, stderr);
  fflush(stderr);
  bool hidden = !tcgetattr(fileno(tty), &old);
  quiet = old;
  quiet.c_lflag &= (tcflag_t)~ECHO;
  if (hidden) tcsetattr(fileno(tty), TCSAFLUSH, &quiet);
  char *line = fgets(out, 300, tty);
  if (hidden) tcsetattr(fileno(tty), TCSAFLUSH, &old);
  fputc('\n', stderr);
  if (!line) args_fail(PROGRAM, "no password was given");
  out[strcspn(out, "\r\n")] = '\0';
}

void login_password(const char *file, bool new, char out[300]) {
  char again[300];
  if (file) {
    FILE *f = fopen(file, "re");
    if (!f) args_fail(PROGRAM, "cannot read %s: %s", file, strerror(errno));
    read_line(f, out, file);
    fclose(f);
    return;
  }
  if (!isatty(STDIN_FILENO)) {
    read_line(stdin, out, "the standard input");
    return;
  }
  ask_terminal(stdin, "Password: ", out);
  if (!new) return;
  ask_terminal(stdin, "Once more: ", again);
  if (strcmp(out, again)) args_fail(PROGRAM, "the two are not the same");
}
