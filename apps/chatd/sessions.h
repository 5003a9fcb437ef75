/*
 * The sessions that were used lately, in memory, so that a call need not ask the store
 * who its token belongs to. What is in the store counts: whoever ends a session there says
 * so here once that is durable.
 */
#ifndef CHATD_SESSIONS_H
#define CHATD_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sessions sessions;

/* A session, as far as calls want to know. */
typedef struct session_info {
  int64_t id, user_id;
  int role;
  int64_t used, expires; /* microseconds since 1970 */
} session_info;

/* At most `most` are remembered. 0 or CAW_ENOMEM. */
int sessions_new(sessions **out, size_t most);
void sessions_free(sessions *s); /* NULL is fine */

/* Is it known? Any thread, as all of these. */
bool sessions_find(sessions *s, const uint8_t hash[32], session_info *out);

/* Before one that is not known is looked up in the store: a mark for sessions_learn, which
 * learns nothing if a session has ended since then. */
uint64_t sessions_mark(sessions *s);
void sessions_learn(sessions *s, const uint8_t hash[32], const session_info *info, uint64_t mark);

/* A known session was used, and lasts until `expires`. */
void sessions_touch(sessions *s, const uint8_t hash[32], int64_t used, int64_t expires);

/* A session of a user has ended; id 0: all of them. */
void sessions_end(sessions *s, int64_t user_id, int64_t id);

/* A user has another role. */
void sessions_role(sessions *s, int64_t user_id, int role);

#endif
