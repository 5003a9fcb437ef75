/* The access log of the servers: one line per call on standard output. */
#ifndef APPS_LOG_H
#define APPS_LOG_H

#include <caw/server.h>

/* For caw_server_options.on_call. */
void log_call(const caw_call_summary *call, void *user);

/* A client whose TLS handshake failed, on standard error, for
 * caw_tls_server_options.on_handshake_error. */
void log_handshake_error(const char *peer, const char *why, void *user);

/* Writes the local time as ISO 8601 with microseconds. Any thread. */
#define TIMESTAMP_ROOM 32
void timestamp_now(char out[TIMESTAMP_ROOM]);

#endif
