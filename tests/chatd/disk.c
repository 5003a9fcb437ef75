/* The disk of disk.h. One lock is held within each operation. */
#include "disk.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR  512
#define REGIONS 64
#define NAMES   8

/* A write or truncation that was not flushed. */
typedef struct change {
  struct change *next;
  bool truncates;
  size_t at, len; /* at: the new length, of a truncation */
  unsigned char data[];
} change;

typedef struct bytes {
  unsigned char *data;
  size_t len, room;
} bytes;

typedef struct node {
  bytes now, safe; /* as it is read; as it is without power */
  change *changes, **end;
  int refs; /* open files and names */
  int shared;
  bool reserved, pending, exclusive;
  void *regions[REGIONS]; /* shared memory, of the log's index */
  int mapped;             /* open files that have it */
  int readers[SQLITE_SHM_NLOCK];
  bool writer[SQLITE_SHM_NLOCK];
} node;

/* What a name was made to mean, and not flushed. */
typedef struct event {
  struct event *next;
  node *node; /* NULL: deleted */
} event;

typedef struct name {
  char path[120];
  node *now, *safe;
  event *events, **end;
} name;

typedef struct file {
  sqlite3_file base;
  node *node;
  int lock;
  bool names; /* its first flush flushes the folder, too */
  bool log, main_db, mapped;
  unsigned shm_shared, shm_exclusive; /* bits of the locks that it has */
} file;

static struct {
  pthread_mutex_t lock;
  uint64_t chance;
  name names[NAMES];
  int n_names;
  long ops, cut_at;
  bool off;
  unsigned lies;
  unsigned failing;
  long fail_at, fail_times, failures;
  int fail_code;
  int64_t room;
} it = {.lock = PTHREAD_MUTEX_INITIALIZER, .room = -1};

static void lock(void) {
  pthread_mutex_lock(&it.lock);
}

/* Unlocks; hands a result through. */
static int out(int rc) {
  pthread_mutex_unlock(&it.lock);
  return rc;
}

static uint32_t chance(uint32_t of) {
  it.chance = it.chance * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(it.chance >> 33) % of;
}

static void *must(void *p) {
  if (!p) abort();
  return p;
}

/* ---- Bytes ---- */

static void set_len(bytes *b, size_t len) {
  if (len > b->room) {
    b->room = len * 2;
    b->data = must(realloc(b->data, b->room));
  }
  if (len > b->len) memset(b->data + b->len, 0, len - b->len);
  b->len = len;
}

static void put(bytes *b, size_t at, const unsigned char *data, size_t len) {
  if (at + len > b->len) set_len(b, at + len);
  memcpy(b->data + at, data, len);
}

static void copy(bytes *to, const bytes *from) {
  set_len(to, from->len);
  if (from->len) memcpy(to->data, from->data, from->len);
}

/* ---- Files that are flushed, or not ---- */

static void note(node *n, const change *c, const void *data) {
  change *mine = must(malloc(sizeof(*mine) + c->len));
  *mine = *c;
  mine->next = NULL;
  if (data) memcpy(mine->data, data, c->len);
  *n->end = mine;
  n->end = &mine->next;
}

static void keep(node *n, const change *c) {
  if (c->truncates) set_len(&n->safe, c->at);
  else put(&n->safe, c->at, c->data, c->len);
}

/* Some of a write's sectors: the first ones, or any. Where the file grows, what was not
 * written may be zeros, or nothing in particular. */
static void tear(node *n, const change *c) {
  size_t first = c->at / SECTOR, last = (c->at + c->len - 1) / SECTOR;
  uint32_t until = chance(2) ? chance((uint32_t)(last - first + 1)) : UINT32_MAX;
  for (size_t sector = first; sector <= last; sector++) {
    size_t from = sector == first ? c->at : sector * SECTOR;
    size_t to = sector == last ? c->at + c->len : (sector + 1) * SECTOR;
    if (until == UINT32_MAX ? chance(2) : sector - first < until) {
      put(&n->safe, from, c->data + (from - c->at), to - from);
    } else if (n->safe.len < to && !chance(4)) {
      size_t old = n->safe.len;
      set_len(&n->safe, to);
      for (size_t i = old > from ? old : from; i < to; i++)
        n->safe.data[i] = (unsigned char)chance(256);
    }
  }
}

/* Each change becomes durable, or not, or in part; the disk has a mood for a file. */
static void settle(node *n) {
  uint32_t mood = chance(6), until = chance(40);
  for (change *c = n->changes, *next; c; c = next) {
    next = c->next;
    uint32_t fate = mood < 2 ? mood : mood == 2 ? until == 0 : chance(3);
    if (until) until--;
    if (fate == 0) keep(n, c);
    else if (fate == 2 && !c->truncates && c->len) tear(n, c);
    free(c);
  }
  n->changes = NULL;
  n->end = &n->changes;
}

static void flush(node *n) {
  for (change *c = n->changes, *next; c; c = next) {
    next = c->next;
    keep(n, c);
    free(c);
  }
  n->changes = NULL;
  n->end = &n->changes;
}

static node *node_new(void) {
  node *n = must(calloc(1, sizeof(*n)));
  n->end = &n->changes;
  return n;
}

static void node_drop(node *n) {
  if (!n || --n->refs) return;
  flush(n);
  free(n->now.data);
  free(n->safe.data);
  free(n);
}

static node *node_ref(node *n) {
  if (n) n->refs++;
  return n;
}

static void point(node **where, node *to) {
  node_ref(to);
  node_drop(*where);
  *where = to;
}

/* ---- Names ---- */

static name *name_of(const char *path) {
  for (int i = 0; i < it.n_names; i++)
    if (!strcmp(it.names[i].path, path)) return &it.names[i];
  if (it.n_names == NAMES) abort();
  name *n = &it.names[it.n_names++];
  *n = (name){.events = NULL};
  snprintf(n->path, sizeof(n->path), "%s", path);
  n->end = &n->events;
  return n;
}

static void happen(name *n, node *to) {
  event *e = must(calloc(1, sizeof(*e)));
  e->node = node_ref(to);
  *n->end = e;
  n->end = &e->next;
  point(&n->now, to);
}

/* Makes the first `most` events durable, and forgets the others. */
static void settle_names(name *n, uint32_t most) {
  for (event *e = n->events, *next; e; e = next) {
    next = e->next;
    if (most) {
      most--;
      point(&n->safe, e->node);
    }
    node_drop(e->node);
    free(e);
  }
  n->events = NULL;
  n->end = &n->events;
}

static void flush_names(void) {
  if (it.lies & DISK_NAMES) return;
  for (int i = 0; i < it.n_names; i++) settle_names(&it.names[i], UINT32_MAX);
}

/* ---- Operations ---- */

#define LAST (-1) /* begin: do it, it is the last thing that happens */

/* 0: it can be done; LAST; or SQLite's code of the failure. */
static int begin(unsigned operation) {
  if (it.off) return SQLITE_IOERR;
  if ((operation & it.failing) && it.fail_at && !--it.fail_at) {
    it.failures++;
    if (--it.fail_times > 0) it.fail_at = 1;
    return it.fail_code;
  }
  if (operation == DISK_MAP) return 0;
  it.ops++;
  if (!it.cut_at || --it.cut_at) return 0;
  it.off = true;
  return LAST;
}

static int64_t used(void) {
  int64_t sum = 0;
  for (int i = 0; i < it.n_names; i++)
    if (it.names[i].now) sum += (int64_t)it.names[i].now->now.len;
  return sum;
}

static int file_close(sqlite3_file *f) {
  file *me = (file *)f;
  lock();
  node_drop(me->node);
  me->node = NULL;
  return out(SQLITE_OK);
}

static int file_read(sqlite3_file *f, void *to, int amount, sqlite3_int64 at) {
  const bytes *b = &((file *)f)->node->now;
  size_t from = (size_t)at, len = (size_t)amount;
  lock();
  if (it.off) return out(SQLITE_IOERR_READ);
  size_t have = from >= b->len ? 0 : b->len - from < len ? b->len - from : len;
  if (have) memcpy(to, b->data + from, have);
  memset((char *)to + have, 0, len - have);
  return out(have == len ? SQLITE_OK : SQLITE_IOERR_SHORT_READ);
}

static int file_write(sqlite3_file *f, const void *data, int amount, sqlite3_int64 at) {
  node *n = ((file *)f)->node;
  change c = {.at = (size_t)at, .len = (size_t)amount};
  lock();
  int rc = begin(DISK_WRITE);
  int64_t grows = (int64_t)(c.at + c.len) - (int64_t)n->now.len;
  if (!rc && it.room >= 0 && grows > 0 && used() + grows > it.room) rc = SQLITE_FULL;
  /* A failed write has written some of it. */
  if (rc == SQLITE_FULL || rc == SQLITE_IOERR_WRITE) c.len = chance((uint32_t)c.len);
  if (!(it.off && rc != LAST) && c.len) {
    note(n, &c, data);
    put(&n->now, c.at, data, c.len);
  }
  return out(rc == LAST ? SQLITE_IOERR_WRITE : rc);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size) {
  node *n = ((file *)f)->node;
  lock();
  int rc = begin(DISK_TRUNCATE);
  if (!rc || rc == LAST) {
    note(n, &(change){.truncates = true, .at = (size_t)size}, NULL);
    set_len(&n->now, (size_t)size);
  }
  return out(rc == LAST ? SQLITE_IOERR_TRUNCATE : rc);
}

static int file_sync(sqlite3_file *f, int flags) {
  file *me = (file *)f;
  (void)flags;
  lock();
  int rc = begin(DISK_FLUSH);
  if (!rc) {
    if (!(it.lies & (me->log ? DISK_LOGS : DISK_FILES))) flush(me->node);
    if (me->names) flush_names();
    me->names = false;
  } else if (!it.off) {
    settle(me->node);
  }
  return out(rc == LAST ? SQLITE_IOERR_FSYNC : rc);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *size) {
  lock();
  *size = (sqlite3_int64)((file *)f)->node->now.len;
  return out(it.off ? SQLITE_IOERR_FSTAT : SQLITE_OK);
}

/* ---- Locks of the database ---- */

static int file_lock(sqlite3_file *f, int level) {
  file *me = (file *)f;
  node *n = me->node;
  lock();
  if (it.off) return out(SQLITE_IOERR_LOCK);
  if (me->lock >= level) return out(SQLITE_OK);
  if (me->lock == SQLITE_LOCK_NONE) {
    if (n->pending || n->exclusive) return out(SQLITE_BUSY);
    n->shared++;
    me->lock = SQLITE_LOCK_SHARED;
  }
  if (level >= SQLITE_LOCK_RESERVED && me->lock < SQLITE_LOCK_RESERVED) {
    if (n->reserved) return out(SQLITE_BUSY);
    n->reserved = true;
    me->lock = SQLITE_LOCK_RESERVED;
  }
  if (level == SQLITE_LOCK_EXCLUSIVE) {
    n->pending = true;
    if (n->shared > 1) {
      me->lock = SQLITE_LOCK_PENDING;
      return out(SQLITE_BUSY);
    }
    n->exclusive = true;
    me->lock = SQLITE_LOCK_EXCLUSIVE;
  }
  return out(SQLITE_OK);
}

static int file_unlock(sqlite3_file *f, int level) {
  file *me = (file *)f;
  node *n = me->node;
  lock();
  if (me->lock > level) {
    if (me->lock >= SQLITE_LOCK_RESERVED) n->reserved = n->pending = n->exclusive = false;
    if (level == SQLITE_LOCK_NONE && me->lock != SQLITE_LOCK_NONE) n->shared--;
    me->lock = level;
  }
  return out(SQLITE_OK);
}

static int file_reserved(sqlite3_file *f, int *is) {
  lock();
  *is = ((file *)f)->node->reserved;
  return out(SQLITE_OK);
}

static int file_control(sqlite3_file *f, int op, void *arg) {
  (void)f;
  (void)op;
  (void)arg;
  return SQLITE_NOTFOUND;
}

static int sector_size(sqlite3_file *f) {
  (void)f;
  return 4096;
}

/* As SQLite's unix file system says. */
static int device(sqlite3_file *f) {
  (void)f;
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* ---- Shared memory ---- */

static int shm_map(sqlite3_file *f, int region, int size, int extend, void volatile **to) {
  file *me = (file *)f;
  node *n = me->node;
  *to = NULL;
  lock();
  if (it.off || region >= REGIONS) return out(SQLITE_IOERR_SHMMAP);
  if (!me->mapped) {
    me->mapped = true;
    n->mapped++;
  }
  if (!n->regions[region] && extend) {
    int rc = begin(DISK_MAP);
    if (rc) return out(rc);
    n->regions[region] = must(calloc(1, (size_t)size));
  }
  *to = n->regions[region];
  return out(SQLITE_OK);
}

static int shm_lock(sqlite3_file *f, int from, int count, int flags) {
  file *me = (file *)f;
  node *n = me->node;
  unsigned mask = ((1u << count) - 1) << from;
  bool shared = flags & SQLITE_SHM_SHARED;
  lock();
  for (int i = from; i < from + count; i++) {
    unsigned bit = 1u << i;
    bool mine = me->shm_shared & bit;
    if (flags & SQLITE_SHM_UNLOCK) {
      if (mine) n->readers[i]--;
      if (me->shm_exclusive & bit) n->writer[i] = false;
    } else if ((n->writer[i] && !(me->shm_exclusive & bit)) ||
               (!shared && n->readers[i] > (int)mine)) {
      return out(SQLITE_BUSY); /* several at once are asked for exclusively: none is taken yet */
    }
  }
  if (flags & SQLITE_SHM_UNLOCK) {
    me->shm_shared &= ~mask;
    me->shm_exclusive &= ~mask;
    return out(SQLITE_OK);
  }
  for (int i = from; i < from + count; i++) {
    if (shared && !(me->shm_shared & 1u << i)) n->readers[i]++;
    if (!shared) n->writer[i] = true;
  }
  if (shared) me->shm_shared |= mask;
  else me->shm_exclusive |= mask;
  return out(SQLITE_OK);
}

static void shm_barrier(sqlite3_file *f) {
  (void)f;
  lock();
  out(0);
}

/* The last one's end is the end of what it holds: the next one makes it anew. */
static int shm_unmap(sqlite3_file *f, int delete) {
  file *me = (file *)f;
  (void)delete;
  lock();
  if (me->mapped && !--me->node->mapped) {
    for (int i = 0; i < REGIONS; i++) {
      free(me->node->regions[i]);
      me->node->regions[i] = NULL;
    }
  }
  me->mapped = false;
  return out(SQLITE_OK);
}

/* ---- The file system ---- */

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = sector_size,
    .xDeviceCharacteristics = device,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *got) {
  file *me = (file *)f;
  (void)vfs;
  *me = (file){.log = flags & SQLITE_OPEN_WAL};
  lock();
  if (it.off) return out(SQLITE_CANTOPEN);
  name *n = path ? name_of(path) : NULL; /* without a name: for a moment only */
  if (n && !n->now) {
    if (!(flags & SQLITE_OPEN_CREATE)) return out(SQLITE_CANTOPEN);
    int rc = begin(DISK_MAKE);
    if (!rc || rc == LAST) happen(n, node_new());
    if (rc) return out(SQLITE_CANTOPEN);
  }
  me->names =
      (flags & SQLITE_OPEN_CREATE) && (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL));
  me->node = node_ref(n ? n->now : node_new());
  me->base.pMethods = &methods;
  if (got) *got = flags;
  return out(SQLITE_OK);
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int folder) {
  (void)vfs;
  lock();
  name *n = name_of(path);
  if (it.off) return out(SQLITE_IOERR_DELETE);
  if (!n->now) return out(SQLITE_IOERR_DELETE_NOENT);
  int rc = begin(DISK_DELETE);
  if (!rc || rc == LAST) happen(n, NULL);
  if (!rc && folder) flush_names();
  return out(rc == LAST ? SQLITE_IOERR_DELETE : rc);
}

static int disk_access(sqlite3_vfs *vfs, const char *path, int flags, int *yes) {
  (void)vfs;
  lock();
  const name *n = name_of(path);
  *yes = n->now && (flags != SQLITE_ACCESS_EXISTS || n->now->now.len);
  return out(it.off ? SQLITE_IOERR_ACCESS : SQLITE_OK);
}

static int full_path(sqlite3_vfs *vfs, const char *path, int room, char *full) {
  (void)vfs;
  snprintf(full, (size_t)room, "%s", path);
  return SQLITE_OK;
}

void disk_register(void) {
  static sqlite3_vfs vfs;
  vfs = *sqlite3_vfs_find(NULL); /* sleep, time and such */
  vfs.iVersion = 2;
  vfs.szOsFile = sizeof(file);
  vfs.mxPathname = 100;
  vfs.zName = DISK;
  vfs.pNext = NULL;
  vfs.xOpen = disk_open;
  vfs.xDelete = disk_delete;
  vfs.xAccess = disk_access;
  vfs.xFullPathname = full_path;
  sqlite3_vfs_register(&vfs, 0);
}

/* ---- What tests do to it ---- */

void disk_new(uint64_t seed) {
  lock();
  for (int i = 0; i < it.n_names; i++) {
    settle_names(&it.names[i], 0);
    point(&it.names[i].now, NULL);
    point(&it.names[i].safe, NULL);
  }
  it.n_names = 0;
  it.chance = seed;
  it.ops = it.cut_at = it.fail_at = it.failures = 0;
  it.off = false;
  it.lies = it.failing = 0;
  it.room = -1;
  out(0);
}

void disk_cut_at(long nth) {
  lock();
  it.cut_at = nth;
  out(0);
}

void disk_cut(void) {
  lock();
  it.off = true;
  out(0);
}

bool disk_is_off(void) {
  lock();
  return out(it.off);
}

void disk_power_on(void) {
  lock();
  for (int i = 0; i < it.n_names; i++) {
    name *n = &it.names[i];
    settle_names(n, chance(3));
    point(&n->now, n->safe);
  }
  for (int i = 0; i < it.n_names; i++) {
    node *n = it.names[i].now;
    if (!n) continue;
    settle(n);
    copy(&n->now, &n->safe);
  }
  it.off = false;
  it.cut_at = 0;
  out(0);
}

long disk_ops(void) {
  lock();
  long ops = it.ops;
  out(0);
  return ops;
}

void disk_lie(unsigned about) {
  lock();
  it.lies = about;
  out(0);
}

void disk_fail(unsigned operations, long nth, long times, int code) {
  lock();
  it.failing = operations;
  it.fail_at = nth;
  it.fail_times = times;
  it.fail_code = code;
  it.failures = 0;
  out(0);
}

long disk_failures(void) {
  lock();
  long failures = it.failures;
  out(0);
  return failures;
}

void disk_room(int64_t most) {
  lock();
  it.room = most;
  out(0);
}

int64_t disk_used(void) {
  lock();
  int64_t sum = used();
  out(0);
  return sum;
}
