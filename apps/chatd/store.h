/*
 * What chatd keeps, behind an interface that says nothing of how: accounts,
 * sessions, rooms, members, messages. SQLite is one implementation
 * (store_sqlite.h); tests/chatd/store has what each one must pass.
 *
 * A `store` is one connection. Nothing here knows loops, calls or permissions; who
 * may do what is decided above (desk.h runs the work on its threads). Functions
 * wait for the disk, so they never run on a loop.
 *
 * One store of a database is its writer: what it does between store_begin and
 * store_commit is durable when the commit has returned 0, and none of it happened
 * otherwise. The others only read; store_begin gives them a view that stays the
 * same until store_end.
 *
 * What a function returns lives in the arena that it was given. Texts are UTF-8,
 * checked before they come here. Times are microseconds since 1970.
 *
 * Returns, where nothing else is said: 0; STORE_NONE (there is no such thing);
 * STORE_TAKEN (there is one already); STORE_BUSY (another process holds the
 * database); STORE_FULL (the disk); STORE_DAMAGED (what was read is not
 * what was written); STORE_BROKEN (the disk failed); CAW_ENOMEM. After FULL, DAMAGED
 * of a page, BROKEN or ENOMEM in a writer only store_rollback is of use; after BROKEN it
 * begins no turn any more: what the system has kept of what it was given is not known, and
 * a store that is opened anew makes sure of what it reads.
 */
#ifndef CHATD_STORE_H
#define CHATD_STORE_H

#include <caw/arena.h>
#include <caw/str.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct store store;

enum {
  STORE_NONE = -900,
  STORE_TAKEN = -901,
  STORE_BUSY = -902,
  STORE_FULL = -903,
  STORE_DAMAGED = -904,
  STORE_BROKEN = -905,
  STORE_QUOTA = -906 /* of store_message_add alone */
};

/* The numbers are those of chat.v1.Role, UserState, Visibility, RoomKind, RoomRole and
 * MessageKind: what is kept is what is sent. */

typedef struct store_user {
  int64_t id;
  caw_str handle;
  caw_str display_name, status_text, bio, avatar_url;
  caw_str search; /* case-folded words of handle and name, each followed by '\n' */
  int role, state;
  int64_t created, updated;
} store_user;

typedef struct store_session {
  int64_t id, user_id;
  caw_str client_name, peer;
  int64_t created, used, expires;
} store_session;

typedef struct store_room {
  int64_t id;
  caw_str name, topic;
  caw_str folded; /* the name, case-folded; not read back */
  int visibility, kind;
  int64_t slow_mode;    /* microseconds between two messages of a member */
  int64_t max_age;      /* microseconds; 0: for ever */
  int64_t max_messages; /* 0: all */
  int64_t creator_id, created;
  int64_t first_number; /* of the oldest message that is kept; last_number + 1 when none is */
  int64_t last_number;  /* 0: none yet */
  int64_t last_sent;    /* the time of that message; not written by store_room_put */
  int members;
} store_room;

typedef struct store_member {
  int64_t room_id, user_id;
  int role;
  int64_t joined;
  int64_t read_number;
  int64_t last_sent; /* for slow mode */
} store_member;

typedef struct store_message {
  int64_t room_id, number, author_id, sent;
  int kind;
  caw_str text;
  int64_t reply_to;
  caw_str client_id;
  caw_str guest_name;
  bool damaged; /* the row does not match its checksum: only room_id and number are said */
} store_message;

/* ---- Turns ---- */

int store_begin(store *s);
int store_commit(store *s);
void store_rollback(store *s);

/* Ends what a reader began. */
void store_end(store *s);

/*
 * The writer, between two turns, after each and when nobody waits (`idle`): does what
 * wants to be done now and then, if it does. 0, or what failed as of a turn: readers see
 * nothing of it, and nothing is lost.
 */
int store_rest(store *s, bool idle);

/* The writer, between two turns, after STORE_FULL: 0 when there is room for a turn again. */
int store_probe(store *s);

/* Closes the connection; the writer's is closed last. NULL is fine. */
void store_close(store *s);

/* What failed last, a sentence that names the file; "" when nothing did. */
const char *store_error(const store *s);

/* ---- Accounts ---- */

/* Adds a user; sets id. TAKEN: the handle is, or was. `secret` is the hash of the
 * password, empty for none. */
int store_user_add(store *s, store_user *user, caw_str secret);

/* Writes all but id, handle and created. */
int store_user_put(store *s, const store_user *user);

/* Makes a tombstone: profile, secret, sessions, memberships and bans go. */
int store_user_erase(store *s, int64_t id, int64_t now);

int store_user_get(store *s, int64_t id, store_user *out, caw_arena *arena);
int store_user_by_handle(store *s, caw_str handle, store_user *out, caw_arena *arena);

/* At most `most` users with ids after `after`, no tombstones; with a prefix (case-folded)
 * those one of whose search words begins with it. *n may be 0. */
int store_users(store *s, caw_str prefix, int64_t after, size_t most, store_user **out, size_t *n,
                caw_arena *arena);

/* How many active users have this role or a higher one. */
int store_users_with_role(store *s, int role, int64_t *count);

int store_secret_get(store *s, int64_t user_id, caw_str *secret, caw_arena *arena);
int store_secret_put(store *s, int64_t user_id, caw_str secret);

/* ---- Sessions: a token is known by its SHA-256 only ---- */

int store_session_add(store *s, store_session *session, const uint8_t hash[32]);
int store_session_find(store *s, const uint8_t hash[32], store_session *out, caw_arena *arena);
int store_session_get(store *s, int64_t id, store_session *out, caw_arena *arena);
int store_session_touch(store *s, int64_t id, int64_t used, int64_t expires);
int store_sessions(store *s, int64_t user_id, store_session **out, size_t *n, caw_arena *arena);

/* Removes one (id), or all of a user but `except` (id 0); the ids in *out. */
int store_session_drop(store *s, int64_t user_id, int64_t id, int64_t except, int64_t **out,
                       size_t *n, caw_arena *arena);

/* ---- Reset codes and things done once ---- */

int store_code_put(store *s, int64_t user_id, const uint8_t hash[32], int64_t expires);
/* Removes it, if it fits. 0: it was there, fits and had not expired; else NONE. */
int store_code_take(store *s, int64_t user_id, const uint8_t hash[32], int64_t now);

/* Has `user_id` done a thing with this id before? `digest` is of what was asked for,
 * `result` what it made (a user's or room's id). NONE: no, and now it has, if the turn
 * is committed. 0: yes, the same, *result is what it made then. TAKEN: yes, but
 * something else. What has made nothing (result 0) counts as not done. */
int store_once(store *s, int64_t user_id, caw_str request_id, const uint8_t digest[32],
               int64_t *result, int64_t now);
int store_once_result(store *s, int64_t user_id, caw_str request_id, int64_t result);

/* Removes sessions and codes that have expired, and forgets what was done once before
 * `once_before`; at most `most` of each. *left says whether there may be more. */
int store_sweep(store *s, int64_t now, int64_t once_before, size_t most, bool *left);

/* A text by name: the owner's token, the server's id, ... NONE. */
int store_note_get(store *s, const char *name, caw_str *value, caw_arena *arena);
int store_note_put(store *s, const char *name, caw_str value); /* empty: removes it */

/* ---- Rooms ---- */

int store_room_add(store *s, store_room *room); /* sets id; TAKEN: the public name is */
int store_room_put(store *s, const store_room *room);
int store_room_get(store *s, int64_t id, store_room *out, caw_arena *arena);
/* Of a room what decides who may do what, and its numbers: visibility, kind, slow_mode,
 * first_number, last_number, last_sent; and what a user is in it (role 0: nothing). For those who
 * ask again and again in a turn. NONE: no such room. */
int store_room_as(store *s, int64_t id, int64_t user_id, store_room *room, store_member *member);
int store_room_by_name(store *s, caw_str name, int64_t user_id, store_room *out, caw_arena *arena);

/* The direct room of two users. */
int store_direct_get(store *s, int64_t a, int64_t b, store_room *out, caw_arena *arena);
int store_direct_add(store *s, int64_t a, int64_t b, store_room *room);

/* Public rooms after a case-folded name, by name; by_name takes a folded name too. */
int store_rooms_public(store *s, caw_str after, size_t most, store_room **out, size_t *n,
                       caw_arena *arena);

/* A user's rooms with their membership, by id after `after`. */
int store_rooms_of(store *s, int64_t user_id, int64_t after, size_t most, store_room **rooms,
                   store_member **members, size_t *n, caw_arena *arena);

/* ---- Members ---- */

int store_member_put(store *s, const store_member *member); /* adds or changes */
/* Writes the read_number and last_sent of one who is there. */
int store_member_sent(store *s, const store_member *member);
int store_member_get(store *s, int64_t room_id, int64_t user_id, store_member *out);
int store_member_drop(store *s, int64_t room_id, int64_t user_id);
int store_members(store *s, int64_t room_id, int64_t after, size_t most, store_member **out,
                  size_t *n, caw_arena *arena);
/* Who follows a user in a room: of the others the one of the highest role, and among these
 * the one who has been there longest. NONE. */
int store_member_heir(store *s, int64_t room_id, int64_t user_id, store_member *out);
int store_members_with_role(store *s, int64_t room_id, int role, int64_t *count);

int store_ban_put(store *s, int64_t room_id, int64_t user_id, int64_t by, caw_str reason,
                  int64_t now);
int store_ban_drop(store *s, int64_t room_id, int64_t user_id);
int store_ban_get(store *s, int64_t room_id, int64_t user_id); /* 0: banned; NONE */

/* ---- Messages ---- */

/*
 * Appends; sets number and sent (the later of `sent` and the last message's). When the
 * author has used client_id before: 0 with *duplicate if the content is the same, and
 * number and sent are the first's; else TAKEN.
 */
int store_message_add(store *s, store_message *message, bool *duplicate);

/* The number of the message that the author has sent with this client_id. NONE. */
int store_message_find(store *s, int64_t author_id, caw_str client_id, int64_t *number);

/* Messages with from <= number <= to, in order, at most `most` of them and
 * `bytes` of text (one at least); `backward`: those nearest to `to`, still in ascending
 * order. A row that is damaged is one with `damaged`. */
int store_messages(store *s, int64_t room_id, int64_t from, int64_t to, size_t most, size_t bytes,
                   bool backward, store_message **out, size_t *n, caw_arena *arena);

/* How many messages are kept of a room, of a user (room 0), of all (both 0). */
int store_message_count(store *s, int64_t room_id, int64_t user_id, int64_t *count);

/* Of the newest `most` messages after `number`: how many are the user's own, and how many of
 * the others name them as @handle. */
int store_unread(store *s, int64_t room_id, int64_t number, const store_user *user, size_t most,
                 int64_t *own, int64_t *mentions);

/* Forgets the oldest messages of a room up to `number`, at most `most` at once;
 * *left says whether there are more. */
int store_forget(store *s, int64_t room_id, int64_t number, size_t most, bool *left);

/* The number of the newest message that is older than `time`; 0: none. */
int store_older_than(store *s, int64_t room_id, int64_t time, int64_t *number);

/* ---- Room ---- */

/* Rooms that keep their messages for a time, or up to a number, by id after `after`. */
int store_rooms_limited(store *s, int64_t after, size_t most, store_room **out, size_t *n,
                        caw_arena *arena);

/* Bytes that take what is kept; room in the file that is free for more does not count. */
int store_size(store *s, int64_t *bytes);

/*
 * The writer's: as soon as what is kept takes `bytes` (0: no end), no message is added any
 * more: STORE_QUOTA, which is a refusal and spoils no turn. Everything else goes on, above
 * all what makes room. What is on its way to the file (its log) comes on top of it.
 */
void store_set_quota(store *s, int64_t bytes);

#endif
