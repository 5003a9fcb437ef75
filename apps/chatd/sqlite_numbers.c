/*
 * The numbers that the messages of a turn take, and how many its authors have sent: noted
 * in memory, and written once for each room and author at the end of the turn. Whoever
 * reads a room or a count meanwhile asks here, too.
 */
#include "sqlite.h"

#include <caw/status.h>
#include <string.h>

#define MOST (NOTES / 2) /* taken places; more are written first */

/* Where an id is, or would be. */
static size_t place_of(const note *notes, int64_t id) {
  size_t at = (uint64_t)id * 11400714819323198485u >> 32;
  while (notes[at % NOTES].id && notes[at % NOTES].id != id) at++;
  return at % NOTES;
}

static note *room_of(store *s, int64_t id) {
  return &s->noted.rooms[place_of(s->noted.rooms, id)];
}

static int write_room(store *s, const note *room) {
  query q = ask(s, "UPDATE rooms SET last_number = ?, last_sent = ? WHERE id = ?");
  put_int(&q, room->last_number);
  put_int(&q, room->last_sent);
  put_int(&q, room->id);
  return run(&q);
}

static int write_user(store *s, const note *user) {
  query q = ask(s, "UPDATE users SET sent = sent + ? WHERE id = ?");
  put_int(&q, user->sent);
  put_int(&q, user->id);
  return run(&q);
}

int settle(store *s) {
  s->seen_in++;
  int rc = 0;
  for (size_t i = 0; !rc && s->noted.n_rooms && i < NOTES; i++)
    if (s->noted.rooms[i].taken) rc = write_room(s, &s->noted.rooms[i]);
  for (size_t i = 0; !rc && s->noted.n_users && i < NOTES; i++)
    if (s->noted.users[i].sent) rc = write_user(s, &s->noted.users[i]);
  unsettle(s);
  return rc;
}

void unsettle(store *s) {
  if (s->noted.n_rooms || s->noted.n_users) memset(&s->noted, 0, sizeof(s->noted));
}

static int read_numbers(store *s, int64_t room_id, note *room) {
  query q = ask(s, "SELECT last_number, last_sent FROM rooms WHERE id = ?");
  put_int(&q, room_id);
  int rc = one_row(&q);
  if (rc) return rc;
  *room = (note){.id = room_id, .last_number = get_int(&q, 0), .last_sent = get_int(&q, 1)};
  drop(&q);
  s->noted.n_rooms++;
  return 0;
}

int next_number(store *s, int64_t room_id, int64_t *number, int64_t *sent) {
  int rc = s->noted.n_rooms >= MOST ? settle(s) : 0;
  if (rc || !room_id) return rc ? rc : STORE_NONE;
  note *room = room_of(s, room_id);
  if (!room->id && (rc = read_numbers(s, room_id, room))) return rc;
  if (room->last_number >= MOST_NUMBER) return STORE_NONE;
  *number = room->last_number + 1;
  if (*sent < room->last_sent) *sent = room->last_sent;
  return 0;
}

int take_number(store *s, int64_t room_id, int64_t author_id, int64_t sent) {
  note *room = room_of(s, room_id);
  room->last_number++;
  room->last_sent = sent;
  room->taken = true;
  if (author_id) {
    int rc = s->noted.n_users >= MOST ? settle(s) : 0;
    if (rc) return rc;
    note *user = &s->noted.users[place_of(s->noted.users, author_id)];
    if (!user->id) s->noted.n_users++;
    user->id = author_id;
    user->sent++;
  }
  return s->turn ? 0 : settle(s);
}

void noted_numbers(const store *s, int64_t room_id, int64_t *last_number, int64_t *last_sent) {
  if (!s->noted.n_rooms) return;
  const note *room = &s->noted.rooms[place_of(s->noted.rooms, room_id)];
  if (!room->taken) return;
  *last_number = room->last_number;
  *last_sent = room->last_sent;
}
