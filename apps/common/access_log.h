/*
 * The access log of --access-log: a line for each call that has ended, on standard error, as text
 * or as a JSON object. What clients choose (path, texts, user agent) can neither end the line nor
 * steer a terminal, and is cut to 256 bytes; metadata are not written, but for the user agent and
 * traceparent, so no token is.
 */
#ifndef APPS_ACCESS_LOG_H
#define APPS_ACCESS_LOG_H

#include <caw/server.h>
#include <stdbool.h>

typedef enum access_log { ACCESS_LOG_NONE, ACCESS_LOG_TEXT, ACCESS_LOG_JSON } access_log;

/* Reads "text" or "json"; false for anything else. */
bool access_log_parse(access_log *out, const char *text);

/* For caw_server_options.on_call; `user` is the address of an access_log. */
void access_log_call(const caw_call_summary *call, void *user);

/* A line without its end, for access_log_call and for tests; returns its length. */
#define ACCESS_LOG_ROOM 16384
size_t access_log_line(char out[ACCESS_LOG_ROOM], const caw_call_summary *call, access_log kind);

#endif
