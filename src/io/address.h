/*
 * Socket addresses and their text. What a program writes: "HOST:PORT",
 * "127.0.0.1:50051", "[::1]:50051", "unix:PATH", "unix:///PATH",
 * "unix-abstract:NAME"; and gRPC's target names (naming.md): "dns:///HOST:PORT",
 * "ipv4:A:P[,A:P]", "ipv6:[A]:P[,[A]:P]".
 */
#ifndef IO_ADDRESS_H
#define IO_ADDRESS_H

#include <caw/str.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct io_address {
  socklen_t len;
  union {
    struct sockaddr any;
    struct sockaddr_storage storage;
    struct sockaddr_un local;
  } u;
} io_address;

#define IO_ADDRESS_TEXT 160 /* room for any address's text, with NUL */
#define IO_HOST_ROOM    256 /* room for a host name, with NUL */

#define IO_TARGET_MAX 8 /* addresses in one target */

/* A parsed target: addresses that need no look-up, or a name that does. */
typedef struct io_target {
  char host[IO_HOST_ROOM]; /* "" when there is nothing to look up */
  uint16_t port;           /* of the host */
  char server[64];         /* dns://SERVER/...: the name server to ask, "ip:port"; else "" */
  /* What :authority says: "host:port" ("host" when no port was written),
   * "localhost" for Unix sockets. */
  char authority[IO_HOST_ROOM + 8];
  io_address addresses[IO_TARGET_MAX];
  unsigned count;
} io_target;

/*
 * Parses a target. A missing port means 443 after gRPC's naming document when
 * `need_port` is false, else it is an error. Returns 0 or CAW_EADDR with the
 * reason, a static text, in *why.
 */
int io_target_parse(io_target *out, caw_str text, bool need_port, const char **why);

/* Writes the address as text in gRPC's form ("ipv4:127.0.0.1:50051"). Returns
 * its length; always NUL-terminated. */
size_t io_address_format(char out[IO_ADDRESS_TEXT], const io_address *a);

/* Makes an address of 4 (IPv4) or 16 (IPv6) bytes in network order. */
io_address io_address_ip(const void *bytes, size_t len, uint16_t port);

/* The port of an IP address, 0 for others. */
uint16_t io_address_port(const io_address *a);

/* Sets the port of an IP address; nothing happens to others. */
void io_address_set_port(io_address *a, uint16_t port);

#endif
