/*
 * caw_call behind its public face: reference count, sends and ends from any
 * thread, deadline, and the turn in which its news reach user code. What a
 * server's and a client's call do differently is in their call_class.
 */
#ifndef CONN_CALL_H
#define CONN_CALL_H

#include "base/arena.h"
#include "conn/conn.h"
#include "rpc/call.h"
#include "stats/channelz.h"

#include <caw/call.h>
#include <caw/interceptor.h>
#include <stdatomic.h>

/* Atomic flags of a call. */
enum {
  CALL_LOCAL_END = 1,      /* finish or half-close was asked: nothing more is taken */
  CALL_CANCELLED = 2,      /* cancelled, expired, or lost with its connection */
  CALL_OVER = 4,           /* on_done is being or has been called */
  CALL_WANT_DRAIN = 8,     /* the queue was full: on_drain is owed */
  CALL_SENT_ONE = 16,      /* the only message of this side was taken */
  CALL_ASKED_CANCEL = 32,  /* caw_call_cancel came from another thread */
  CALL_HEADERS_TAKEN = 64, /* server: the leading metadata may not change any more */
  CALL_GONE = 128,         /* client: the stream has ended, sending is in vain */
  CALL_DRAINING = 256,     /* server: the server shuts down */
  CALL_UNCOMPRESSED = 512, /* messages are sent as they are, whatever the encoding */
  CALL_MUTE = 1024         /* server: ended by a local error, of which only the code is told */
};

/* What servers' and clients' calls do differently; all but `destroy` on the
 * loop's thread. */
typedef struct call_class {
  size_t size; /* of the struct that begins with the caw_call */
  bool server;
  /* News came, or call_wake was called. User code runs here. */
  void (*dispatch)(caw_call *call);
  /* Sends a message; 0 or a CAW_E*. */
  int (*send)(caw_call *call, caw_payload *payload);
  /* Server: the handler has finished the call; see CALL_MUTE. Client: no more requests.
   * `text` is handed over (caw_free), may be NULL. */
  void (*end)(caw_call *call, int code, char *text);
  /* Server: sends the leading headers; 0 or a CAW_E*. */
  int (*send_headers)(caw_call *call);
  /* The program cancels, the deadline is over, or a message that was taken
   * from another thread could not be sent: the call must end with `code`. */
  void (*abort)(caw_call *call, int code, const char *text);
  /* Frees what the class added; any thread. */
  void (*destroy)(caw_call *call);
  /* The list that interceptors see or change. */
  rpc_metadata *(*metadata)(caw_call *call, caw_metadata_list which);
} call_class;

typedef struct call_chain call_chain; /* chain.h */
typedef struct call_value call_value; /* values.c */
typedef struct call_clock call_clock; /* call.c: the timer of a deadline */

/* A call at rest shall cost little: there are many. So what only some calls need, or need
 * only while something happens, is made when it is needed. */
struct caw_call {
  rpc_call rpc;
  const call_class *cls;
  caw_loop *loop;
  conn *conn;      /* NULL when it has none */
  uint64_t joined; /* when it came to `conn`, on the loop's clock */
  const caw_method *method;
  void *data;
  call_chain *chain;                   /* NULL without interceptors and credentials */
  call_value *values;                  /* of caw_call_set_value */
  io_task task;                        /* dispatch */
  call_clock *clock;                   /* NULL without a deadline */
  uint64_t deadline;                   /* on the loop's clock, UINT64_MAX: none */
  size_t send_limit;                   /* bytes queued before CAW_EAGAIN */
  uint64_t received, sent;             /* messages */
  uint64_t received_bytes, sent_bytes; /* of these as they travel, without gRPC's prefix */
  caw_arena *arena; /* the handler's: caw_call_arena; the loop's is rpc_call_arena */

  atomic_size_t queued; /* bytes taken and not yet framed */
  atomic_uint refs;
  atomic_uint flags;
  atomic_uint posted; /* operations of other threads on their way here */
  uint32_t after;     /* conn->input, when it came */
  uint8_t encoding;   /* of what is sent; set before anything is */
  bool counted;       /* in conn->live */
  bool unheard;       /* in conn->unheard */
  bool in_line;       /* in conn->inflate.line */
  bool served;        /* server: it came as far as to its handler */
  io_post end_post;
  union {
    struct {          /* server */
      char *end_text; /* of end_post */
      int end_code;
      uint32_t unheard_bytes; /* in conn->unheard_bytes */
    };
    io_post cancel_post; /* client */
  };

  union {               /* family.c */
    list children;      /* server */
    struct {            /* client */
      caw_call *parent; /* on whose behalf this call is made, or NULL */
      list sibling;
    };
  };
  list put_off;     /* in conn->inflate, or who waits for memory */
  size_t accounted; /* of conn->memory.came */
};

/* Allocates a call of a class, zeroed but for what is set here, with one
 * reference. NULL when memory is out. */
caw_call *call_new(const call_class *cls, caw_loop *loop, size_t max_receive, size_t send_limit);

/* Makes the handler's arena large enough for a small request and its reply, on the loop. It
 * would be made smaller by the first caw_call_arena otherwise. */
void call_prepare_arena(caw_call *call);

/* Has dispatch called, later in this turn; not for a call that is over. */
void call_wake(caw_call *call);
/* The same for whatever call: its stream has news. */
void call_turn(caw_call *call);

/* Sets the deadline: `abort` is called when it is over, on a server a moment later.
 * 0 or CAW_ENOMEM. */
int call_set_deadline(caw_call *call, uint64_t at);

/* Takes the news; subtracts what was sent. True in *drain when on_drain is
 * due. */
unsigned call_take_news(caw_call *call, bool *drain);

/* The last step on the loop, after user code was told: leaves the connection,
 * stops the timer, gives the loop's reference back. */
void call_release(caw_call *call);

/*
 * The form in which the payload travels on this call, in place of it and borrowed
 * from it; compresses it the first time. 0 or CAW_ENOMEM. Any thread.
 */
int call_choose_form(const caw_call *call, caw_payload **payload);

static inline bool call_has(const caw_call *call, unsigned flags) {
  return atomic_load(&call->flags) & flags;
}
/* Sets flags and returns those that were set before. */
static inline unsigned call_set(caw_call *call, unsigned flags) {
  return atomic_fetch_or(&call->flags, flags);
}

/* Ends our side, here or on the loop, behind what other threads have sent;
 * cannot fail. CALL_LOCAL_END was set by the caller. `text` is handed over
 * (caw_free). */
void call_end(caw_call *call, int code, char *text);

/* values.c: destroys the values that the call carries. */
void call_free_values(caw_call *call);

/* What the peer is told when a handler says `rc`: a status as it is; a local
 * error as RESOURCE_EXHAUSTED or INTERNAL, without its text. */
int call_status_code(int rc);

/* Marks the call cancelled and cancels the calls made on its behalf. */
void call_mark_cancelled(caw_call *call);

/* family.c: the child is cancelled when the parent is. `parent` is held by
 * reference until call_leave_parent. */
void call_adopt(caw_call *parent, caw_call *child);
void call_leave_parent(caw_call *child);
void call_cancel_children(caw_call *parent);

/* The call that an rpc_call is the beginning of. */
static inline caw_call *call_of(rpc_call *rpc) {
  return (caw_call *)(void *)rpc;
}

/* Does this side send one message only? */
static inline bool call_sends_one(const caw_call *call) {
  caw_call_kind k = call->method->kind;
  return k == CAW_UNARY || k == (call->cls->server ? CAW_CLIENT_STREAM : CAW_SERVER_STREAM);
}

/* A message was given to the protocol, or will be when there is a stream. */
static inline void call_count_sent(caw_call *call, const caw_payload *payload) {
  call->sent++;
  call->sent_bytes += payload->len;
}

/* A message of the call was given to its connection, or came from there. */
static inline void call_show_message(const caw_call *call, bool sent) {
  const conn *c = call->conn;
  if (c && c->channelz)
    channelz_message(c->channelz, sent, sent ? io_now(call->loop) : c->keepalive.read_at);
}

/* Does the peer? */
static inline bool call_receives_one(const caw_call *call) {
  caw_call_kind k = call->method->kind;
  return k == CAW_UNARY || k == (call->cls->server ? CAW_SERVER_STREAM : CAW_CLIENT_STREAM);
}

/* The type of the messages that come. */
static inline const caw_type *call_in_type(const caw_call *call) {
  return call->cls->server ? call->method->request : call->method->response;
}

/*
 * Takes the message that was peeked at, decompresses it if need be, and decodes
 * it into a zeroed message of the incoming type in `arena`. What that points to
 * stays until the next call_receive or call_consumed. Returns 0, or the gRPC code
 * to end the call with and a static text.
 */
int call_receive(caw_call *call, caw_arena *arena, rpc_message *bytes, void **message,
                 const char **why);

/* The received messages are not needed any more: see rpc_call_consumed. */
void call_consumed(caw_call *call);

/* inflate.c: must the message that was peeked at, as it is compressed, wait for others? Then the
 * call is woken when it is its turn. */
bool call_inflate_waits(caw_call *call, const rpc_message *m);
/* Decompresses it then, if need be, as far as it may be in this turn of the loop. Is there more to
 * do? Then the call is woken in the next. */
bool call_inflate(caw_call *call, const rpc_message *m);
/* Either. */
bool call_put_off(caw_call *call, const rpc_message *m);
/* What was decompressed was decoded, in so many nanoseconds: they count for the turn. */
void call_inflate_took(caw_call *call, uint64_t took);
/* Woken in the next turn; of a connection whose socket is open. */
void call_next_turn(caw_call *call);

#endif
