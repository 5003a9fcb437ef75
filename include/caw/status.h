/*
 * The one `int` that Caw's functions return.
 *
 *   0            it worked
 *   1 .. 16      a gRPC status, the outcome of a call (gRPC: statuscodes.md)
 *   CAW_PENDING  returned by a handler only: the call goes on, someone
 *                finishes it later
 *   <= -100      a local error, CAW_E*, which never travels to the peer
 *
 * A function that returned a local error took nothing, changed nothing and
 * will never call the callback that it was given.
 */
#ifndef CAW_STATUS_H
#define CAW_STATUS_H

#include <caw/export.h>
#include <caw/str.h>

CAW_BEGIN_DECLS

/* gRPC's status codes. The numbers are those on the wire. */
typedef enum caw_code {
  CAW_OK = 0,                  /* the call succeeded */
  CAW_CANCELLED = 1,           /* cancelled, usually by the caller */
  CAW_UNKNOWN = 2,             /* an error from another space, or no status */
  CAW_INVALID_ARGUMENT = 3,    /* wrong whatever the state of the system */
  CAW_DEADLINE_EXCEEDED = 4,   /* time ran out; the call may have succeeded */
  CAW_NOT_FOUND = 5,           /* a requested thing does not exist */
  CAW_ALREADY_EXISTS = 6,      /* a thing to be created is there already */
  CAW_PERMISSION_DENIED = 7,   /* the caller is known and may not */
  CAW_RESOURCE_EXHAUSTED = 8,  /* a quota, a limit or memory ran out */
  CAW_FAILED_PRECONDITION = 9, /* the system's state forbids it */
  CAW_ABORTED = 10,            /* lost against a concurrent operation */
  CAW_OUT_OF_RANGE = 11,       /* past the end of a valid range */
  CAW_UNIMPLEMENTED = 12,      /* no such method, or not supported */
  CAW_INTERNAL = 13,           /* an invariant of the system is broken */
  CAW_UNAVAILABLE = 14,        /* not reachable now; trying again may help */
  CAW_DATA_LOSS = 15,          /* unrecoverable loss or corruption */
  CAW_UNAUTHENTICATED = 16     /* the caller is not known */
} caw_code;

/* Returned by a handler that will finish its call later. */
#define CAW_PENDING (-1)

/* Local errors. The numbers are part of the ABI and are never reused. */
enum {
  CAW_ENOMEM = -100,     /* out of memory, or an arena's limit is reached */
  CAW_EINVAL = -101,     /* an argument is wrong */
  CAW_EAGAIN = -102,     /* the queue is full, nothing was taken; wait for on_drain */
  CAW_ESTATE = -103,     /* not possible in this state of the object */
  CAW_ECLOSED = -104,    /* the connection, call or loop has ended */
  CAW_ETOOBIG = -105,    /* larger than the limit that was set */
  CAW_EMALFORMED = -106, /* the bytes do not have the required form */
  CAW_EUTF8 = -107,      /* a text field holds invalid UTF-8 */
  CAW_EDEPTH = -108,     /* messages are nested too deeply */
  CAW_EEND = -109,       /* the stream of messages has ended */
  CAW_ETIMEDOUT = -110,  /* the time given is over */
  CAW_EADDR = -111,      /* not an address that Caw understands */
  CAW_EADDRINUSE = -112, /* another socket has this address */
  CAW_EACCES = -113,     /* the operating system does not permit it */
  CAW_ENOTFOUND = -114,  /* the host name does not exist */
  CAW_ECONN = -115,      /* connection refused, reset or unreachable */
  CAW_EPROTO = -116,     /* the peer broke the HTTP/2 protocol */
  CAW_EEXIST = -117,     /* a thing of this name is there already */
  CAW_ETHREAD = -118,    /* called from a thread that may not */
  CAW_ELIMIT = -119,     /* descriptors, threads or another system limit ran out */
  CAW_ESYS = -120,       /* another error of the operating system */
  CAW_EJSON = -121,      /* not the JSON of such a message, or a message that has none */
  CAW_ETLS = -122,       /* a certificate or key is unusable, or the peer failed in TLS */
  CAW_ENOTSUP = -123     /* this build of Caw cannot do it */
};

/*
 * The outcome of a call: its code, a text for people, and details for programs.
 * The text is UTF-8; both may be empty, and are borrowed from whoever hands the
 * struct over. caw/details.h makes and reads the details.
 */
typedef struct caw_status {
  int code;        /* 0 .. 16; a code from the wire beyond that is CAW_UNKNOWN */
  caw_str message; /* grpc-message, percent-decoded */
  caw_str details; /* a serialized google.rpc.Status, of grpc-status-details-bin */
} caw_status;

/*
 * Returns the name of a gRPC code in capitals ("NOT_FOUND"), "PENDING" for
 * CAW_PENDING, the name of a local error ("CAW_ENOMEM"), or "UNKNOWN_CODE".
 * A static string. Any thread. Since 0.1.
 */
CAW_API const char *caw_code_name(int code);

/*
 * Returns a sentence fragment that says what `code` means ("out of memory"),
 * for any of the ranges above. A static string. Any thread. Since 0.1.
 */
CAW_API const char *caw_strerror(int code);

CAW_END_DECLS

#endif
