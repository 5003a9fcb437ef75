/*
 * Messages with descriptors between processes, over a Unix stream socket (unix(7),
 * SCM_RIGHTS), and who is at its other end. Knows nothing of what they mean.
 */
#ifndef IO_PASS_H
#define IO_PASS_H

#include "io/address.h"

#include <stdint.h>
#include <sys/types.h>

/* The most descriptors of one message: Linux's SCM_MAX_FD. */
#define IO_PASS_MOST 253

/* Connects, without waiting. 0 and the descriptor in *fd; CAW_ENOTFOUND: nobody is
 * there; else as io_sys_error. */
int io_pass_connect(int *fd, const io_address *address);

/* Is the process at the other end the same user's, or root's? Its id in *pid. */
bool io_pass_trusted(int fd, pid_t *pid);

/* Sends bytes, 1 at least, and up to IO_PASS_MOST descriptors, which stay the caller's,
 * on a socket that has room for all. 0, CAW_ECONN, CAW_ELIMIT, CAW_ESYS. */
int io_pass_send(int fd, const void *data, size_t len, const int *fds, size_t n);

/*
 * Receives `len` bytes, waiting until `deadline` on the monotonic clock, and the
 * descriptors that come with them: at most `room` into `fds`, close-on-exec; *n is added
 * to, and more than that is an error. On an error too they are the caller's. 0,
 * CAW_ETIMEDOUT, CAW_EEND (the other end closed it), CAW_EMALFORMED (too many
 * descriptors), CAW_ECONN, CAW_ESYS.
 */
int io_pass_recv(int fd, void *data, size_t len, int *fds, size_t room, size_t *n,
                 uint64_t deadline);

#endif
