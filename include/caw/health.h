/*
 * The health service of gRPC, grpc.health.v1.Health (doc/health-checking.md): load
 * balancers, Kubernetes and clients ask it whether a service can be used, and watch it.
 *
 *   caw_health *health;
 *   caw_health_new(&health);
 *   caw_health_add(server, health);
 *   caw_health_set(health, "chat.Room", CAW_HEALTH_SERVING);      from any thread
 *
 * The name "" stands for the server as a whole; it is SERVING at first. When a server
 * that a health was added to begins to drain, every name becomes NOT_SERVING before the
 * clients are told to go.
 */
#ifndef CAW_HEALTH_H
#define CAW_HEALTH_H

#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

typedef struct caw_health caw_health;

/* The numbers are those on the wire. */
typedef enum caw_health_status {
  CAW_HEALTH_UNKNOWN = 0,
  CAW_HEALTH_SERVING = 1,
  CAW_HEALTH_NOT_SERVING = 2
} caw_health_status;

/* Makes a health in *out. Returns 0 or CAW_ENOMEM. Any thread. Since 0.1. */
CAW_API int caw_health_new(caw_health **out);

/* Frees it, after the servers that it was added to. NULL is fine. Since 0.1. */
CAW_API void caw_health_free(caw_health *health);

/* Serves the health on a server; on several, if they are one process's. Before the server
 * starts. Returns 0, CAW_EEXIST, CAW_ESTATE, CAW_ENOMEM. Since 0.1. */
CAW_API int caw_health_add(caw_server *server, caw_health *health);

/*
 * Sets the status of a service, "package.Service" or "", and tells who watches it; who
 * is slow hears the latest status only. After caw_health_shutdown it is not heard of until
 * caw_health_resume. Returns 0, CAW_EINVAL (no such status), CAW_ENOMEM (a name that is new).
 * Any thread. Since 0.1.
 */
CAW_API int caw_health_set(caw_health *health, const char *service, caw_health_status status);

/*
 * Makes every name NOT_SERVING, whatever is set meanwhile; or all of them SERVING again.
 * Any thread. Since 0.1.
 */
CAW_API void caw_health_shutdown(caw_health *health);
CAW_API void caw_health_resume(caw_health *health);

CAW_END_DECLS

#endif
