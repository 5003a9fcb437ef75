/*
 * A server under systemd, without libsystemd: readiness and other states by sd_notify(3)'s
 * protocol. Sockets that systemd opens (socket activation) are listened on by
 * caw_server_listen with "systemd:" or "systemd:NAME".
 *
 * A unit of Type=notify needs no more than caw_server_notify_systemd. When a server hands
 * over to another process (caw_server_handover) systemd is told of its new main process;
 * for that to hold, that process must belong to the unit.
 */
#ifndef CAW_SYSTEMD_H
#define CAW_SYSTEMD_H

#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

/*
 * Tells the service manager `state`: assignments as "READY=1", "STATUS=text",
 * "WATCHDOG=1", one a line; see sd_notify(3). Returns 0, also when there is no service
 * manager that wants to know (NOTIFY_SOCKET is not set); CAW_EINVAL, CAW_EADDR (of
 * NOTIFY_SOCKET), CAW_ECONN, CAW_EACCES, CAW_EAGAIN (it is behind; nothing was told),
 * CAW_ELIMIT, CAW_ESYS. Does not wait. Any thread, while nobody changes the environment.
 * Since 0.1.
 */
CAW_API int caw_systemd_notify(const char *state);

/*
 * Has the service manager told how the server is: READY=1 when its loop runs and it
 * accepts connections; STOPPING=1 when a drain begins; when it was for another process
 * that took over, MAINPID of that one instead. Returns 0, CAW_ESTATE (a drain has
 * begun), CAW_ENOMEM. Before the server starts, or on the accepting loop's thread.
 * Since 0.1.
 */
CAW_API int caw_server_notify_systemd(caw_server *server);

CAW_END_DECLS

#endif
