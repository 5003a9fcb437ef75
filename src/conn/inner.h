/*
 * What the files of one connection have of each other, besides conn.h: conn.c, which is its life,
 * read.c and places.c. For these alone.
 */
#ifndef CONN_INNER_H
#define CONN_INNER_H

#include "conn/conn.h"

/* What gRPC's clients look for in the debug data of a GOAWAY (gRFC A8). */
#define TOO_MANY_PINGS "too_many_pings"

/* ---- conn.c ---- */

/* Writes what the session has; may be the connection's end. */
void conn_flush(conn *c);

/* The session cannot go on; it has queued the GOAWAY. */
void conn_fail(conn *c, int rc);

/* Closes a connection whose output is out. */
void conn_finish(conn *c);

/* ---- read.c ---- */

/* on_read of io_socket_events. */
void read_data(void *user, const uint8_t *data, size_t len);

/* After a write: may reading go on? */
void read_paid(conn *c);

/* Are there too many calls to read more before they have had their turn? */
void read_crowd(conn *c, bool crowded);

/* ---- places.c ---- */

/* on_open of rpc_session_events. */
rpc_call *places_open(void *ctx);

/* The call's stream is closed. */
void places_closed(conn *c, caw_call *call);

/* Many calls wait for their turn, or no more: it comes before more is read. */
void places_look(conn *c);

#endif
