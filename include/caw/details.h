/*
 * The details of an error: the message google.rpc.Status in the trailer
 * grpc-status-details-bin, with the standard details (caw/details.caw.h, whose
 * comments say what each is for) or messages of the program's own. Public
 * functions of Caw only; caw_call_set_details and caw_status.details carry the
 * bytes, and other protobuf runtimes may use those without this header.
 *
 * All of it together should stay below some kilobytes: peers limit what they take
 * in trailers, many at 8 KiB.
 */
#ifndef CAW_DETAILS_H
#define CAW_DETAILS_H

#include <caw/arena.h>
#include <caw/call.h>
#include <caw/codec.h>
#include <caw/details.caw.h>
#include <caw/export.h>
#include <caw/status.h>

CAW_BEGIN_DECLS

/*
 * Adds a detail to `status`, whose array of details is copied into `arena`, as is
 * the encoded detail; what the array was before stays untouched. `detail` is a message of
 * `type`, which is one of caw/details.caw.h (&caw_details_error_info_type, ...)
 * or any that protoc-gen-caw has made. The strings of `detail` are not needed
 * afterwards. Returns 0; CAW_EINVAL when the type is none of protobuf's;
 * CAW_ENOMEM or an error of encoding. Any thread. Since 0.1.
 */
CAW_API int caw_details_add(caw_details_status *status, caw_arena *arena, const caw_type *type,
                            const void *detail);

/*
 * Finds the first detail of `type` at or after index *at, decodes it into
 * *detail, a zeroed message of that type whose strings point into `status`, and
 * moves *at behind it. Begin with *at = 0. Returns 0; CAW_EEND when there is none;
 * CAW_EINVAL when the type is none of protobuf's; CAW_EMALFORMED, CAW_EUTF8,
 * CAW_EDEPTH (the detail cannot be read; *at is behind it), CAW_ENOMEM. Any
 * thread. Since 0.1.
 */
CAW_API int caw_details_find(const caw_details_status *status, size_t *at, const caw_type *type,
                             void *detail, caw_arena *arena);

/*
 * Client: reads the details of an outcome into *out, whose strings point into
 * those of `status`. Returns 0; CAW_EEND when there are none; CAW_EMALFORMED,
 * CAW_EUTF8, CAW_EDEPTH, CAW_ENOMEM. Any thread. Since 0.1.
 */
CAW_API int caw_details_read(caw_details_status *out, caw_arena *arena, const caw_status *status);

/*
 * Server: has the call fail with the code, the text (up to a NUL) and the details of `status`,
 * and returns the code, for a handler that is about to return:
 *
 *   return caw_details_fail(call, &status);
 *
 * One that has returned CAW_PENDING finishes the call with the code and text
 * afterwards. Without memory for the details the call fails without them. The
 * code must be 1 to 16; others become UNKNOWN. The handler's thread. Since 0.1.
 */
CAW_API int caw_details_fail(caw_call *call, const caw_details_status *status);

CAW_END_DECLS

#endif
