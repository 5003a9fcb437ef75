/* What chatd does before it serves: the data folder, the owner's token, the lobby. */
#ifndef CHATD_SETUP_H
#define CHATD_SETUP_H

#include "chatd.h"
#include "keys.h"

/* Makes the folder (0700) if need be, and locks it for this process. Returns a descriptor to
 * keep open, or -1 with a sentence in `why`. */
int setup_folder(const char *path, char why[400]);

/* In one turn of the store. A token is made when there is no owner, or `again`; `token` is
 * empty otherwise. *lobby is the room's id when it is not NULL. 0 or a code. */
int setup_store(desk *d, bool again, char token[KEYS_TOKEN], int64_t *lobby);

/* Is this address, as caw_server_address writes it, one that only this machine reaches? */
bool is_local(const char *address);

#endif
