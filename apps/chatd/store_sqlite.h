/* chatd's store in one SQLite file, in WAL mode with full synchronisation. */
#ifndef CHATD_STORE_SQLITE_H
#define CHATD_STORE_SQLITE_H

#include "store.h"

/*
 * Opens the database `path` (made by the writer, mode 0600) and brings it up to this
 * program's version; one of a newer program is refused. Exactly one writer may be
 * open, in all processes (STORE_BUSY), and it is the only one that checkpoints; readers
 * are opened after it and closed before. On an error `why`, of 400 bytes, has a sentence.
 * Returns 0 or STORE_*, CAW_ENOMEM.
 */
int store_sqlite_open(store **out, const char *path, bool writer, char why[400]);

/* The same on a file system of SQLite's by name (sqlite3_vfs), which then has the care of
 * who else opens or sees the file. NULL: the system's. */
int store_sqlite_open_on(store **out, const char *path, bool writer, const char *vfs,
                         char why[400]);

/* At how many pages of 4 KiB in its log the writer's store_rest moves them, when nobody
 * waits and otherwise; 512 and 8,192 at first. */
void store_sqlite_rest_at(store *s, int idle, int busy);

/* The writer, between turns: moves the log into the file. store_rest knows when. */
int store_sqlite_checkpoint(store *s);

#endif
