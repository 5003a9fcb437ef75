/*
 * A disk in memory, as a file system of SQLite's named "disk", that loses power and fails
 * when it is told to. It keeps for each file what was written since it was flushed: when
 * the power goes, each of these writes is kept, dropped or torn at sectors of 512 bytes,
 * by chance and apart from the others; so are files' names, which a flush of the folder
 * makes durable (SQLite's unix file system flushes it with the first flush of a new
 * journal or log, and after deletions for which it is asked to). A flush that fails has
 * made some of it durable, and forgets the rest as Linux does: what is read still shows
 * it, no later flush writes it.
 */
#ifndef TESTS_CHATD_DISK_H
#define TESTS_CHATD_DISK_H

#include <stdbool.h>
#include <stdint.h>

#define DISK "disk" /* the file system's name */

/* Makes it known to SQLite. Once. */
void disk_register(void);

/* An empty disk, in order, with power; every chance is taken from the seed. No file may be
 * open. */
void disk_new(uint64_t seed);

/* ---- Power ---- */

/* The power goes at the nth write, truncation, flush, making or deletion of a file from
 * now: that one may still happen. 0: not. */
void disk_cut_at(long nth);
void disk_cut(void); /* now */
bool disk_is_off(void);

/* The power comes back, and what has survived is what there is. No file may be open. */
void disk_power_on(void);

/* Operations so far that disk_cut_at counts. */
long disk_ops(void);

/* ---- Lies: to see that a test notices ---- */

enum { DISK_LOGS = 1, DISK_FILES = 2, DISK_NAMES = 4 };

/* Flushes of these say that all is well, and do nothing. */
void disk_lie(unsigned about);

/* ---- Failures ---- */

enum {
  DISK_MAKE = 1,
  DISK_WRITE = 2,
  DISK_TRUNCATE = 4,
  DISK_FLUSH = 8,
  DISK_DELETE = 16,
  DISK_MAP = 32
};

/* Of these operations the nth from now and the `times - 1` after it fail with SQLite's
 * `code`; nth 0: none. */
void disk_fail(unsigned operations, long nth, long times, int code);

/* How often one has failed since disk_fail. */
long disk_failures(void);

/* Files together may have `most` bytes; -1: no limit. */
void disk_room(int64_t most);

/* Bytes that they have. */
int64_t disk_used(void);

#endif
