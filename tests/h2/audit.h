/*
 * A judge of what an end sends: the rules of RFC 9113 for senders, whatever the
 * conversation is about.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "h2/h2.h"

/* Judges everything that an end has sent, from its first octet on, to a peer that
 * takes frames of `max_frame` octets. Returns NULL or what is wrong, with the section. */
const char *audit(const uint8_t *data, size_t len, h2_role role, size_t max_frame);

#endif
