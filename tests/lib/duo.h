/*
 * A server and a channel of ours on one loop of the test's, connected through
 * real sockets, for tests of the callback face. The service is scripted: the
 * test sets what its handlers do. Events are noted as text, in order.
 */
#ifndef TESTS_DUO_H
#define TESTS_DUO_H

#include <caw/channel.h>
#include <caw/server.h>
#include <netinet/in.h>

typedef struct duo duo;

/* A call on the client's side, with everything that was heard of it. */
typedef struct heard {
  caw_call *call; /* valid until done */
  int code;
  char message[256];
  char replies[1024];                /* joined with '|' */
  char metadata[256], trailers[256]; /* "key=value;" of keys that begin with x */
  int n_metadata, n_replies, n_drains, n_done;
  bool pause; /* pause at the first reply */
} heard;

struct duo {
  caw_loop *loop;
  caw_server *server;
  caw_channel *channel;
  caw_server_options server_options;
  caw_channel_options channel_options;
  char log[4096]; /* what the server's side heard: "open;message x;end;..." */
  /* on_call of server_options may be the test's: then it is not counted here. */
  /* What handlers do; NULL echoes. `reply` as in caw_handler. */
  int (*on_message)(duo *d, caw_call *call, const caw_str *request, caw_str *reply);
  int (*on_open)(duo *d, caw_call *call);
  int (*on_end)(duo *d, caw_call *call, caw_str *reply);
  caw_call *pending; /* for handlers that keep their call */
  int n_done, n_cancel, n_drain, n_shutdown;
  caw_status done_status;
  uint64_t summaries; /* of on_call */
  int last_code;      /* of on_call */
  bool timed_out;
  void *extra; /* the test's */
};

/* One method of each kind, of raw bytes: /test.Duo/Unary, ServerStream,
 * ClientStream, Bidi. */
extern const caw_method duo_unary, duo_server_stream, duo_client_stream, duo_bidi;

/* Makes the loop, the server with its service and the channel. Options may be
 * set in *d before (zero it first). */
void duo_init(duo *d);
/* Drains and frees all. */
void duo_finish(duo *d);

/* An address of this machine that is not loopback's, or "". */
void duo_other_address(char out[INET_ADDRSTRLEN]);
/* Has the server listen to `address`, too, and makes the channel anew, to there. */
void duo_move_to(duo *d, const char *address, caw_server_credentials *tls);

/* Notes an event of the server's side. */
void duo_note(duo *d, const char *format, ...) CAW_PRINTF(2, 3);

/* For handlers: notes cancel, drain, shutdown and done. */
void duo_listen(duo *d, caw_call *call);

/* Starts a call; requests are sent and the end, when `request` is given. */
void duo_call(duo *d, heard *h, const caw_method *method, const char *request,
              const caw_call_options *options);
/* Sends one request. */
int duo_send(heard *h, const char *text);

/* Runs the loop until *flag is not 0; fails the test after 20 s. */
void duo_until(duo *d, const int *flag);
/* Runs until the call is done. */
void duo_done(duo *d, heard *h);
/* Runs the loop for a number of turns that do not wait. */
void duo_turns(duo *d, int n);

#endif
