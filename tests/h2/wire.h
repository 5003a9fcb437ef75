/*
 * Conversations with one end, written as text: what the peer's bytes are and
 * what the end's user does, what the user must be told and what must be sent.
 * A table of them is a test program.
 *
 * A script is a list of clauses, separated by ';'. What the peer sends:
 *
 *   MAGIC                 the 24 octets of a client's preface
 *   RAW words             octets outside of any frame
 *   TYPE id words         a frame: DATA HEADERS PRIORITY RST SETTINGS PUSH PING
 *                         GOAWAY WINDOW CONTINUATION, or its number, as x0b
 *   100 TYPE id words     the same a hundred times
 *
 * Words of a frame:
 *
 *   es eh ack pri         flags; +f0 sets these bits
 *   pad:3                 PADDED, with a length octet in front and zeros behind
 *   len:9                 the length that the head claims, whatever follows
 *   'text' x0aff 100*00   octets: a text, in hexadecimal, a hundred zeros
 *   =1000                 a number of 32 bits
 *   4=1000                a setting: its identifier and its value
 *   [name: value]         a field, not indexed; %00 is an octet in hexadecimal;
 *                         [+name: value] puts it into the dynamic table
 *   @req @res @trl        the fields of a POST, a response, trailers
 *
 * What the user does: request, respond 1, send 1 100 (bytes), finish 1,
 * trailers 1, reply 1 (a response in one block), reset 1 8 (code), consume 1 100,
 * goaway 1 0 (last id and code), ping, drain; refuse: what comes from now on. A call
 * that fails is logged.
 */
#ifndef WIRE_H
#define WIRE_H

#include "rig.h"

/* Flags of a case. */
enum {
  RAW = 1,     /* the script begins with the preface; otherwise that was exchanged */
  FIELDS = 2,  /* `told` has fields, too */
  WINDOWS = 4, /* `sent` has the connection's WINDOW_UPDATEs and our PINGs, too */
  WHOLE = 8,   /* how the bytes are cut matters, so they are not */
  INSIDE = 16  /* the script ends inside a header block or a frame */
};

/*
 * `told` is the log of rig.h without fields, grouped by streams, with "; "
 * between the lines; NULL when it does not matter. `sent` are the frames that
 * went out: a GOAWAY that is not NO_ERROR means that the connection has ended,
 * and then only this last frame counts; NULL: anything but an error. `also`: what RFC 9113 permits
 * instead of `sent` and is not what we choose, separated by " | ".
 */
typedef struct wire_case {
  const char *name; /* begins with the section of RFC 9113 */
  h2_role role;
  const char *script, *told, *sent, *also;
  unsigned flags;
  const h2_config *config;
} wire_case;

/* In tables; a row leaves out what does not matter to it. */
#define C H2_CLIENT
#define S H2_SERVER
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* Plays a script to an end, cutting what the peer sends as rig_feed does. */
void wire_play(rig_end *e, const char *script, unsigned chunk);

/* Appends what one clause says that the peer sends. */
void wire_octets(buf *b, const char *clause);

/* The highest stream on which the peer sent HEADERS since wire_start, if odd. */
extern uint32_t wire_highest;

/* Starts an end: a client has one request, on stream 1, and both prefaces and
 * their acknowledgements are through, unless `raw`. Returns where in e->wire
 * begins what is sent later. */
size_t wire_start(rig_end *e, h2_role role, const h2_config *config, bool raw);

/* What was told, and what was sent from a place on, in the form of wire_case.
 * To be freed with caw_free. */
char *wire_told(rig_end *e, bool fields);
char *wire_sent(const rig_end *e, size_t from, bool windows);

/* Is anything wrong with what was sent, whatever the case? NULL, or what. */
const char *wire_wrong(const rig_end *e, size_t from, size_t max_frame);

/* Plays a case in all cuts. `wrong` gets a text, with its NUL byte, if anything is.
 * Returns whether the answer is the chosen one, and not one of `also`. */
bool wire_check(const wire_case *c, buf *wrong);

/* The main function of a table; an argument is a pattern of names. */
int wire_main(const char *group, const wire_case *cases, size_t n, int argc, char **argv);

#endif
