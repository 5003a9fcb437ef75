/*
 * A hash map from byte strings to pointers, for tables that are built once and
 * asked often: the methods of a server, the names of a plugin's run. Keys are
 * borrowed and must live as long as the map. Linear probing; keys
 * come from the program, not from the wire, so it needs no secret seed, and
 * a lookup of a hostile key costs no more than any other.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <caw/str.h>
#include <stddef.h>
#include <stdint.h>

typedef struct map_slot {
  caw_str key; /* data NULL: free */
  void *value;
  uint32_t hash;
} map_slot;

typedef struct map {
  map_slot *slots;
  size_t len, room; /* room is a power of two, or 0 */
} map;

void map_finish(map *m);

/* Makes room for `extra` more keys, so that adding them cannot fail for want
 * of memory. Returns 0 or CAW_ENOMEM. */
int map_reserve(map *m, size_t extra);

/* Adds a key that has at least one byte. Returns 0, CAW_EEXIST, CAW_ENOMEM. */
int map_add(map *m, caw_str key, void *value);

/* The value of the key, or NULL. */
void *map_get(const map *m, caw_str key);

#endif
