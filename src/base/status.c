/* The names and meanings of the numbers in caw/status.h. */
#include <caw/status.h>
#include <caw/version.h>
#include <stddef.h>

typedef struct code_text {
  int code;
  const char *name, *text;
} code_text;

static const code_text codes[] = {
    {CAW_OK, "OK", "success"},
    {CAW_CANCELLED, "CANCELLED", "the call was cancelled"},
    {CAW_UNKNOWN, "UNKNOWN", "unknown error"},
    {CAW_INVALID_ARGUMENT, "INVALID_ARGUMENT", "an argument of the call is invalid"},
    {CAW_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline is over"},
    {CAW_NOT_FOUND, "NOT_FOUND", "not found"},
    {CAW_ALREADY_EXISTS, "ALREADY_EXISTS", "already exists"},
    {CAW_PERMISSION_DENIED, "PERMISSION_DENIED", "the caller may not do this"},
    {CAW_RESOURCE_EXHAUSTED, "RESOURCE_EXHAUSTED", "a quota or limit is used up"},
    {CAW_FAILED_PRECONDITION, "FAILED_PRECONDITION", "the system is not in the needed state"},
    {CAW_ABORTED, "ABORTED", "aborted by a concurrent operation"},
    {CAW_OUT_OF_RANGE, "OUT_OF_RANGE", "past the valid range"},
    {CAW_UNIMPLEMENTED, "UNIMPLEMENTED", "not implemented"},
    {CAW_INTERNAL, "INTERNAL", "internal error"},
    {CAW_UNAVAILABLE, "UNAVAILABLE", "the service is not reachable"},
    {CAW_DATA_LOSS, "DATA_LOSS", "data was lost"},
    {CAW_UNAUTHENTICATED, "UNAUTHENTICATED", "the caller is not authenticated"},
    {CAW_PENDING, "PENDING", "the call is not finished"},
    {CAW_ENOMEM, "CAW_ENOMEM", "out of memory"},
    {CAW_EINVAL, "CAW_EINVAL", "invalid argument"},
    {CAW_EAGAIN, "CAW_EAGAIN", "the queue is full, try again later"},
    {CAW_ESTATE, "CAW_ESTATE", "not possible in this state"},
    {CAW_ECLOSED, "CAW_ECLOSED", "closed"},
    {CAW_ETOOBIG, "CAW_ETOOBIG", "larger than the limit"},
    {CAW_EMALFORMED, "CAW_EMALFORMED", "malformed bytes"},
    {CAW_EUTF8, "CAW_EUTF8", "invalid UTF-8 in a text field"},
    {CAW_EDEPTH, "CAW_EDEPTH", "nested too deeply"},
    {CAW_EEND, "CAW_EEND", "end of stream"},
    {CAW_ETIMEDOUT, "CAW_ETIMEDOUT", "timed out"},
    {CAW_EADDR, "CAW_EADDR", "not a valid address"},
    {CAW_EADDRINUSE, "CAW_EADDRINUSE", "address already in use"},
    {CAW_EACCES, "CAW_EACCES", "permission denied by the operating system"},
    {CAW_ENOTFOUND, "CAW_ENOTFOUND", "host name not found"},
    {CAW_ECONN, "CAW_ECONN", "connection failed"},
    {CAW_EPROTO, "CAW_EPROTO", "HTTP/2 protocol error"},
    {CAW_EEXIST, "CAW_EEXIST", "exists already"},
    {CAW_ETHREAD, "CAW_ETHREAD", "called from the wrong thread"},
    {CAW_ELIMIT, "CAW_ELIMIT", "a system limit is reached"},
    {CAW_ESYS, "CAW_ESYS", "operating system error"},
    {CAW_EJSON, "CAW_EJSON", "not the JSON of this type of message"},
    {CAW_ETLS, "CAW_ETLS", "TLS failed"},
    {CAW_ENOTSUP, "CAW_ENOTSUP", "not supported by this build"},
};

static const code_text *find(int code) {
  for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
    if (codes[i].code == code) return &codes[i];
  return NULL;
}

const char *caw_code_name(int code) {
  const code_text *t = find(code);
  return t ? t->name : "UNKNOWN_CODE";
}

const char *caw_strerror(int code) {
  const code_text *t = find(code);
  return t ? t->text : "unknown code";
}

const char *caw_version(void) {
  return CAW_VERSION;
}
