/*
 * A server of bare HTTP/2 on the test's loop: it does to clients what no honest
 * server would. Each request is handed to the test's function, which answers
 * through the h2 session; output is written at the end of the turn.
 */
#ifndef TESTS_FAKE_H
#define TESTS_FAKE_H

#include "h2/h2.h"
#include "io/socket.h"

typedef struct fake fake;

/* One connection of the fake server. */
typedef struct fake_conn {
  fake *fake;
  io_socket *socket;
  h2_session *h2;
  io_task task;
  h2_stream *stream; /* the newest */
  unsigned headers;  /* requests seen */
  bool ended;        /* the newest request has ended */
} fake_conn;

struct fake {
  caw_loop *loop;
  io_listener *listener;
  char address[IO_ADDRESS_TEXT]; /* as a target */
  fake_conn conns[32];
  int n_conns;
  int n_requests; /* over all connections */
  int n_resets;   /* streams that the client reset */
  bool mute;      /* accepts, and never says a word */
  bool goodbye;   /* sends GOAWAY at once */
  /* A request has ended; called outside of the session. */
  void (*on_request)(fake *f, fake_conn *c, int number);
};

void fake_init(fake *f, caw_loop *loop);
void fake_finish(fake *f);

/* Writes what the session has to say. */
void fake_flush(fake_conn *c);
/* Closes the connection abruptly. */
void fake_hang_up(fake_conn *c);
/* Answers the newest request with OK and a message. */
void fake_answer(fake_conn *c, const char *message);
/* Answers it with `n` zeros of a message, and leaves `left` to come. */
void fake_answer_in_part(fake_conn *c, size_t n, size_t left);

#endif
