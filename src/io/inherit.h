/*
 * Listening sockets that systemd opened for this process (sd_listen_fds(3)), told by
 * LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. Nothing of libsystemd is used; the
 * environment is left as it is. Any thread, while nobody changes the environment.
 */
#ifndef IO_INHERIT_H
#define IO_INHERIT_H

#include <stddef.h>

/*
 * Writes the descriptors that are called `name` ("": all of them) to `fds`, at most
 * `most`, and marks them close-on-exec. Returns how many there are; 0 also when the
 * variables are not there or for another process. CAW_EMALFORMED: they make no sense.
 */
int io_inherited(const char *name, int *fds, size_t most);

#endif
