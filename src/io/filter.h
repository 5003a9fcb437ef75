/*
 * What stands between a socket and its owner and changes the bytes on their way: TLS.
 * The owner goes on using io_socket as before. It is not a chain: one filter, put in
 * before anything was read or written, for as long as the socket lives.
 */
#ifndef IO_FILTER_H
#define IO_FILTER_H

#include "io/socket.h"

typedef struct io_filter io_filter;

/* The functions of io_socket that the owner calls, under their names. */
typedef struct io_filter_class {
  void (*read)(io_filter *f, bool on);
  long (*write)(io_filter *f, const struct iovec *parts, int n);
  bool (*waits)(const io_filter *f);
  void (*shutdown)(io_filter *f);
  /* The socket is closed next; frees the filter. */
  void (*close)(io_filter *f);
  const char *(*why)(const io_filter *f);
} io_filter_class;

/* The beginning of every filter. */
struct io_filter {
  const io_filter_class *cls;
  io_socket *socket;
  const io_socket_events *events; /* the owner's, and its `user` */
  void *user;
};

/* Puts a filter, of which `cls` is set, in: the socket's events are `events` from now
 * on, with the filter as their `user`. */
void io_socket_filter(io_socket *s, io_filter *filter, const io_socket_events *events);

/* The filter of a socket, or NULL. */
io_filter *io_socket_filtered(const io_socket *s);

/* For filters: what the same functions without "raw" do to a socket that has none. */
void io_raw_read(io_socket *s, bool on);
long io_raw_write(io_socket *s, const struct iovec *parts, int n);
void io_raw_shutdown(io_socket *s);

caw_loop *io_socket_loop(const io_socket *s);

#endif
