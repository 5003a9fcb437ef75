/*
 * The small texts of gRPC's protocol over HTTP/2 (PROTOCOL-HTTP2.md):
 * grpc-timeout, the percent-encoding of grpc-message, the base64 of "-bin"
 * metadata, what may stand in metadata, and how HTTP's statuses and HTTP/2's
 * error codes map to gRPC's. Pure functions of their arguments.
 */
#ifndef RPC_WIRE_H
#define RPC_WIRE_H

#include "base/buf.h"

#include <caw/arena.h>
#include <caw/str.h>
#include <stdbool.h>
#include <stdint.h>

/* timeout.c */

/* The longest grpc-timeout that we write: 8 digits, a unit, NUL. */
#define RPC_TIMEOUT_ROOM 10

/* Writes `ns` as a grpc-timeout that is never shorter than `ns`, in the finest
 * unit that fits 8 digits; 0 becomes "0n", more than 99,999,999 hours becomes
 * that. Returns its length. */
size_t rpc_timeout_format(char out[RPC_TIMEOUT_ROOM], uint64_t ns);

/* Reads a grpc-timeout: 1 to 8 digits and one of H M S m u n. Saturates at
 * UINT64_MAX. Returns 0 or CAW_EMALFORMED. */
int rpc_timeout_parse(uint64_t *ns, caw_str text);

/* percent.c */

/* Appends the percent-encoding of `text`: bytes 0x20..0x7e except '%' as they
 * are, others as %XX, upper case. Returns 0 or CAW_ENOMEM. */
int rpc_percent_encode(buf *out, caw_str text);

/* Decodes into the arena. Never fails on bad input: a '%' that is not followed
 * by two hex digits is kept as it is. Data is NULL when memory is out. What
 * comes out need not be UTF-8; invalid parts are replaced with U+FFFD. */
caw_str rpc_percent_decode(caw_arena *arena, caw_str text);

/* base64.c */

/* Appends base64 without padding, as gRPC recommends. 0 or CAW_ENOMEM. */
int rpc_base64_encode(buf *out, caw_str bytes);

/* Decodes base64 with or without padding into the arena. Returns 0,
 * CAW_EMALFORMED (a foreign character, padding inside, an impossible length,
 * bits left over that are not zero) or CAW_ENOMEM. */
int rpc_base64_decode(caw_arena *arena, caw_str text, caw_str *out);

/* fields.c */

/* Is `key` of the form of a metadata key: 1 or more of 0-9 a-z _ - . ? */
bool rpc_key_valid(caw_str key);

/* Does the key belong to gRPC or HTTP/2: ":...", "grpc-...", content-type,
 * te, user-agent, host, connection, keep-alive, proxy-connection,
 * transfer-encoding, upgrade, content-length? */
bool rpc_key_reserved(caw_str key);

/* Does the key end in "-bin"? */
bool rpc_key_binary(caw_str key);

/* May `value` be sent as an ASCII value: bytes 0x20..0x7e only? Leading and
 * trailing spaces are legal and may be stripped on the way. */
bool rpc_ascii_value_valid(caw_str value);

/* Is this content-type gRPC: "application/grpc", alone or followed by '+' or
 * ';'? Case-insensitive. *subtype is what follows '+', up to ';', else empty. */
bool rpc_content_type(caw_str value, caw_str *subtype);

/* mapping.c */

/* The gRPC code for an HTTP :status without grpc-status
 * (http-grpc-status-mapping.md). */
int rpc_code_from_http(unsigned http_status);

/* The gRPC code for an RST_STREAM or GOAWAY code (PROTOCOL-HTTP2.md, "HTTP2
 * Transport Mapping, Errors"). */
int rpc_code_from_h2(uint32_t h2_code);

/* The name of an HTTP/2 error code ("REFUSED_STREAM"), for messages. */
const char *rpc_h2_code_name(uint32_t h2_code);

#endif
