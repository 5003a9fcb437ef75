/*
 * gRPC's server reflection (doc/server-reflection.md), both as grpc.reflection.v1 and as
 * v1alpha: clients like grpcurl learn which services a server has, and the types of their
 * messages. Off unless a program adds it: it tells everybody what there is.
 *
 * It knows what generated code knows: the files of the services that were added, and all
 * that these import. Services without generated code are listed, and not described.
 */
#ifndef CAW_REFLECTION_H
#define CAW_REFLECTION_H

#include <caw/export.h>
#include <caw/server.h>

CAW_BEGIN_DECLS

/*
 * Serves reflection for all services of the server, those that are added later too. Before
 * the server starts. Returns 0, CAW_EEXIST, CAW_ESTATE, CAW_ENOMEM. Since 0.1.
 */
CAW_API int caw_reflection_add(caw_server *server);

CAW_END_DECLS

#endif
