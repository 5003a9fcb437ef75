/* grpc.testing.TestService as gRPC's interop-test-descriptions.md wants it of a
 * server: every feature but those of credentials and of ORCA. */
#ifndef APPS_INTEROP_SERVICE_H
#define APPS_INTEROP_SERVICE_H

#include <caw/server.h>

/* Serves the TestService; as caw_server_add. */
int service_add(caw_server *server);

#endif
