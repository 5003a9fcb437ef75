/*
 * Tells the service manager how this process is: a datagram to the socket that
 * NOTIFY_SOCKET names (sd_notify(3)). Nothing of libsystemd is used. Any thread, while
 * nobody changes the environment.
 */
#ifndef IO_NOTIFY_H
#define IO_NOTIFY_H

/*
 * Sends `state`: assignments, one a line. Returns 0, also when nobody wants to be told;
 * CAW_EADDR (NOTIFY_SOCKET is neither a path nor "@" and an abstract name), CAW_ECONN
 * (nobody is there), CAW_EAGAIN (the manager is behind), CAW_EACCES, CAW_ELIMIT,
 * CAW_ESYS.
 */
int io_notify(const char *state);

#endif
