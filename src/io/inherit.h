/*
 * Listening sockets that systemd opened for this process (sd_listen_fds(3)), told by
 * LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Nothing of libsystemd is used; the
 * environment is left as it is. The descriptors themselves stay open as long as the process:
 * a server that is made after another, or that could not listen on all, finds them again.
 * Any thread, while nobody changes the environment.
 */
#ifndef IO_INHERIT_H
#define IO_INHERIT_H

#include <stddef.h>

/*
 * Writes duplicates of the descriptors that are called `name` ("": all of them) to `fds`, at
 * most `most`; they are the caller's. Both are close-on-exec from the first call on. Returns how
 * many there are; 0 also when the variables are not there or for another process. CAW_EMALFORMED:
 * they make no sense; CAW_ELIMIT: there are more than `most`, or no descriptor is to be had;
 * CAW_ESTATE: the program has closed one since the first call, and what has its number now, if
 * anything, is not systemd's. CAW_ESYS.
 */
int io_inherited(const char *name, int *fds, size_t most);

#endif
