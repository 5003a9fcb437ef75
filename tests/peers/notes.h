/* What a peer server remembers of its calls, for those who ask later, and the
 * service Watch that tells it. All functions: any thread. */
#ifndef PEERS_NOTES_H
#define PEERS_NOTES_H

#include <caw/server.h>
#include <peer.caw.h>

typedef struct note note;

enum { EVENT_STARTED = 1, EVENT_CANCELLED = 2, EVENT_DONE = 4 };

/* The note of a call; made when there is none. NULL for an empty id. */
note *note_get(caw_str id);

/* Writes down an event with what is known so far, and answers those who wait
 * for it. NULL is fine. */
void note_event(note *n, unsigned event, const peer_answer *known);

/* Has the call been released? */
bool note_released(note *n);

/* Has `fn(arg)` posted to the loop when the call is released, or soon when it
 * has been. Returns false when it cannot. */
bool note_hang(note *n, caw_loop *loop, void (*fn)(void *arg), void *arg);

/* Takes that back. False: there is nothing to take back; `fn` ran or will run. */
bool note_unhang(note *n);

/* Adds the service Watch; `forward` is the target of Watch.Forward or NULL. */
int watch_add(caw_server *server, const char *forward);
void watch_finish(void);
/* Once the server is freed. */
void notes_free(void);

#endif
