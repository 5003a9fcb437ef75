/*
 * Waiting for a descriptor, for the files of this folder: uv_poll_t with what
 * it leaves to its users. Sockets are read and written by ourselves, so that
 * one path serves TCP and Unix and each system call is a decision of ours.
 */
#ifndef IO_WATCH_H
#define IO_WATCH_H

#include "io/loop.h"

#include <uv.h>

typedef struct io_watch {
  uv_poll_t poll;
  caw_loop *loop;
  int mask; /* UV_READABLE | UV_WRITABLE | ... now waited for */
  /* Something happened. `broken`: the descriptor has an error (POLLERR), and
   * the mask is 0 now. May close the watch. */
  void (*ready)(struct io_watch *w, int events, bool broken);
  void (*closed)(struct io_watch *w);
} io_watch;

/* The descriptor stays the caller's. It must be one that epoll can watch.
 * Returns 0 or a CAW_E*; after an error the watch needs no close. */
int io_watch_init(io_watch *w, caw_loop *loop, int fd,
                  void (*ready)(io_watch *w, int events, bool broken));

/* Waits for the events in `mask` (0: for nothing). libuv makes two system
 * calls of a change, so nothing is done when the mask stays. */
void io_watch_set(io_watch *w, int mask);

/* Ends it: `ready` is not called again and the descriptor may be closed right
 * after this call. `closed` is called once, in a later turn or in
 * caw_loop_free: only then may the watch's memory go. */
void io_watch_close(io_watch *w, void (*closed)(io_watch *w));

#endif
