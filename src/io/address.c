/* Addresses to text and back, and gRPC's targets. No look-up happens here. */
#include "io/address.h"

#include <arpa/inet.h>
#include <caw/status.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_PORT = 443 }; /* gRPC: naming.md */
enum { NAME_SERVER_PORT = 53 };
enum { LONGEST_NAME = 253, LONGEST_LABEL = 63 }; /* RFC 1035 2.3.4, as text */

/* --- addresses to text --------------------------------------------------- */

io_address io_address_ip(const void *bytes, size_t len, uint16_t port) {
  io_address a;
  memset(&a, 0, sizeof(a));
  if (len == 4) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&in.sin_addr, bytes, 4);
    memcpy(&a.u, &in, a.len = sizeof(in));
  } else {
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    memcpy(&in6.sin6_addr, bytes, 16);
    memcpy(&a.u, &in6, a.len = sizeof(in6));
  }
  return a;
}

uint16_t io_address_port(const io_address *a) {
  struct sockaddr_in in;
  struct sockaddr_in6 in6;
  switch (a->u.any.sa_family) {
  case AF_INET:
    memcpy(&in, &a->u, sizeof(in));
    return ntohs(in.sin_port);
  case AF_INET6:
    memcpy(&in6, &a->u, sizeof(in6));
    return ntohs(in6.sin6_port);
  default:
    return 0;
  }
}

static int format_ip6(char out[IO_ADDRESS_TEXT], const io_address *a) {
  struct sockaddr_in6 in6;
  memcpy(&in6, &a->u, sizeof(in6));
  char ip[INET6_ADDRSTRLEN] = "";
  /* An IPv4 peer of a dual-stack listener is an IPv4 peer. */
  if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
    inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], ip, sizeof(ip));
    return snprintf(out, IO_ADDRESS_TEXT, "ipv4:%s:%u", ip, ntohs(in6.sin6_port));
  }
  inet_ntop(AF_INET6, &in6.sin6_addr, ip, sizeof(ip));
  if (in6.sin6_scope_id)
    return snprintf(out, IO_ADDRESS_TEXT, "ipv6:[%s%%%u]:%u", ip, in6.sin6_scope_id,
                    ntohs(in6.sin6_port));
  return snprintf(out, IO_ADDRESS_TEXT, "ipv6:[%s]:%u", ip, ntohs(in6.sin6_port));
}

static int format_local(char out[IO_ADDRESS_TEXT], const io_address *a) {
  const size_t head = offsetof(struct sockaddr_un, sun_path);
  size_t len = a->len > head ? a->len - head : 0;
  if (len > sizeof(a->u.local.sun_path)) len = sizeof(a->u.local.sun_path);
  const char *path = a->u.local.sun_path;
  if (len == 0 || path[0])
    return snprintf(out, IO_ADDRESS_TEXT, "unix:%.*s", (int)strnlen(path, len), path);
  int n = snprintf(out, IO_ADDRESS_TEXT, "unix-abstract:");
  /* An abstract name may hold any byte; its text goes into logs and metadata. */
  for (size_t i = 1; i < len; i++) out[n++] = path[i] > 32 && path[i] < 127 ? path[i] : '?';
  out[n] = 0;
  return n;
}

size_t io_address_format(char out[IO_ADDRESS_TEXT], const io_address *a) {
  int n;
  if (a->len >= sizeof(struct sockaddr_in) && a->u.any.sa_family == AF_INET) {
    struct sockaddr_in in;
    memcpy(&in, &a->u, sizeof(in));
    char ip[INET_ADDRSTRLEN] = "";
    inet_ntop(AF_INET, &in.sin_addr, ip, sizeof(ip));
    n = snprintf(out, IO_ADDRESS_TEXT, "ipv4:%s:%u", ip, ntohs(in.sin_port));
  } else if (a->len >= sizeof(struct sockaddr_in6) && a->u.any.sa_family == AF_INET6) {
    n = format_ip6(out, a);
  } else if (a->len >= sizeof(a->u.any.sa_family) && a->u.any.sa_family == AF_UNIX) {
    n = format_local(out, a);
  } else {
    n = snprintf(out, IO_ADDRESS_TEXT, "unknown:");
  }
  return (size_t)n;
}

/* --- pieces of text ------------------------------------------------------ */

static bool skip(caw_str *s, const char *prefix) {
  size_t n = strlen(prefix);
  if (s->len < n || memcmp(s->data, prefix, n) != 0) return false;
  s->data += n;
  s->len -= n;
  return true;
}

static const char *find(caw_str s, char c) {
  return s.len ? memchr(s.data, c, s.len) : NULL;
}

static caw_str before(caw_str s, const char *end) {
  return caw_str_of(s.data, (size_t)(end - s.data));
}

static caw_str from(caw_str s, const char *start) {
  return caw_str_of(start, s.len - (size_t)(start - s.data));
}

static int fail(const char **why, const char *text) {
  *why = text;
  return CAW_EADDR;
}

static int parse_port(uint16_t *out, caw_str s, const char **why) {
  unsigned value = 0;
  if (!s.len) return fail(why, "missing port; write HOST:PORT");
  for (size_t i = 0; i < s.len; i++) {
    if (s.data[i] < '0' || s.data[i] > '9') return fail(why, "port must be 0 to 65535");
    value = value * 10 + (unsigned)(s.data[i] - '0');
    if (value > 65535) return fail(why, "port must be 0 to 65535");
  }
  *out = (uint16_t)value;
  return 0;
}

/* "HOST[:PORT]", taken apart. */
typedef struct host_port {
  caw_str host;
  bool brackets, has_port;
  uint16_t port;
} host_port;

static bool is_ip6(caw_str s) {
  char text[INET6_ADDRSTRLEN];
  struct in6_addr ip;
  if (s.len >= sizeof(text)) return false;
  if (s.len) memcpy(text, s.data, s.len);
  text[s.len] = 0;
  return inet_pton(AF_INET6, text, &ip) == 1;
}

static int split_brackets(host_port *out, caw_str s, caw_str *port, const char **why) {
  const char *end = find(s, ']');
  if (!end) return fail(why, "unclosed [; write [IPV6]:PORT");
  out->brackets = true;
  out->host = before(from(s, s.data + 1), end);
  caw_str rest = from(s, end + 1);
  if (!rest.len) return 0;
  if (rest.data[0] != ':') return fail(why, "only :PORT may follow ]");
  out->has_port = true;
  *port = from(rest, rest.data + 1);
  return 0;
}

static int split_plain(host_port *out, caw_str s, caw_str *port, const char **why) {
  const char *colon = find(s, ':');
  out->host = s;
  if (!colon) return 0;
  caw_str rest = from(s, colon + 1);
  if (!find(rest, ':')) {
    out->has_port = true;
    out->host = before(s, colon);
    *port = rest;
    return 0;
  }
  /* Several colons: an IPv6 address without brackets, which has no port. */
  const char *zone = find(s, '%');
  if (!is_ip6(zone ? before(s, zone) : s)) return fail(why, "too many ':'; write HOST:PORT");
  out->brackets = true;
  return 0;
}

static int split(host_port *out, caw_str s, bool need_port, const char **why) {
  caw_str port = {0};
  *out = (host_port){.port = DEFAULT_PORT};
  int rc = s.len && s.data[0] == '[' ? split_brackets(out, s, &port, why)
                                     : split_plain(out, s, &port, why);
  if (rc) return rc;
  if (!out->host.len)
    return fail(why,
                "missing host; write HOST:PORT, for every interface 0.0.0.0:PORT or [::]:PORT");
  if (out->has_port) return parse_port(&out->port, port, why);
  if (!need_port) return 0;
  if (out->brackets && s.data[0] != '[')
    return fail(why, "missing port; an IPv6 address is written [ADDRESS]:PORT");
  return fail(why, "missing port; write HOST:PORT");
}

/* --- hosts --------------------------------------------------------------- */

static bool parse_ip4(io_address *out, const host_port *hp) {
  char text[INET_ADDRSTRLEN];
  struct in_addr ip;
  if (hp->brackets || hp->host.len >= sizeof(text)) return false;
  memcpy(text, hp->host.data, hp->host.len);
  text[hp->host.len] = 0;
  if (inet_pton(AF_INET, text, &ip) != 1) return false;
  *out = io_address_ip(&ip, 4, hp->port);
  return true;
}

/* The zone of a link-local address: an interface's name or number. */
static int parse_zone(uint32_t *out, caw_str zone, const char **why) {
  char text[IF_NAMESIZE];
  uint64_t number = 0;
  if (zone.len && zone.len < sizeof(text)) {
    memcpy(text, zone.data, zone.len);
    text[zone.len] = 0;
    *out = if_nametoindex(text);
    if (*out) return 0;
    if (strspn(text, "0123456789") == zone.len) /* 15 of them: no overflow */
      for (size_t i = 0; i < zone.len; i++) number = number * 10 + (uint64_t)(text[i] - '0');
  }
  *out = number <= INT32_MAX ? (uint32_t)number : 0;
  return *out ? 0 : fail(why, "no network interface has the name after %");
}

static int parse_ip6(io_address *out, const host_port *hp, const char **why) {
  const char *percent = find(hp->host, '%');
  caw_str ip = percent ? before(hp->host, percent) : hp->host;
  char text[INET6_ADDRSTRLEN];
  struct in6_addr bytes;
  uint32_t zone = 0;
  if (!is_ip6(ip)) return fail(why, "not an IPv6 address between [ and ]");
  memcpy(text, ip.data, ip.len);
  text[ip.len] = 0;
  inet_pton(AF_INET6, text, &bytes);
  int rc = percent ? parse_zone(&zone, from(hp->host, percent + 1), why) : 0;
  *out = io_address_ip(&bytes, 16, hp->port);
  struct sockaddr_in6 in6;
  memcpy(&in6, &out->u, sizeof(in6));
  in6.sin6_scope_id = zone;
  memcpy(&out->u, &in6, sizeof(in6));
  return rc;
}

static bool name_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

/* A name that DNS can ask for. One whose last label is a number is a mistyped
 * IPv4 address, which must not travel to a name server. */
static int check_name(caw_str name, const char **why) {
  if (name.data[name.len - 1] == '.') name.len--;
  if (name.len > LONGEST_NAME) return fail(why, "host name is longer than 253 characters");
  size_t label = 0;
  bool digits = true;
  for (size_t i = 0; i < name.len; i++) {
    char c = name.data[i];
    if (c == '.') {
      if (!label) return fail(why, "host name has an empty part");
      label = 0;
      digits = true;
      continue;
    }
    if (!name_byte(c))
      return fail(why, "host name may have letters, digits, '-', '_' and '.' only");
    if (c < '0' || c > '9') digits = false;
    if (++label > LONGEST_LABEL) return fail(why, "part of the host name exceeds 63 characters");
  }
  if (!label) return fail(why, "host name has an empty part");
  if (digits) return fail(why, "not an IPv4 address; write four numbers of 0 to 255");
  return 0;
}

/* :authority is what was written, without a zone, which means nothing to the
 * peer (RFC 6874). */
static void set_authority(io_target *out, const host_port *hp) {
  caw_str host = hp->host;
  const char *percent = find(host, '%');
  if (percent) host = before(host, percent);
  const char *open = hp->brackets ? "[" : "", *close = hp->brackets ? "]" : "";
  int n =
      snprintf(out->authority, sizeof(out->authority), "%s%.*s%s", open, CAW_STR_ARG(host), close);
  if (hp->has_port)
    snprintf(out->authority + n, sizeof(out->authority) - (size_t)n, ":%u", hp->port);
}

static int parse_host(io_target *out, caw_str s, bool need_port, const char **why) {
  host_port hp;
  int rc = split(&hp, s, need_port, why);
  if (rc) return rc;
  if (hp.brackets) {
    rc = parse_ip6(&out->addresses[0], &hp, why);
    out->count = 1;
  } else if (parse_ip4(&out->addresses[0], &hp)) {
    out->count = 1;
  } else {
    rc = check_name(hp.host, why);
    if (rc) return rc;
    memcpy(out->host, hp.host.data, hp.host.len); /* at most 254 bytes; zeroed before */
  }
  if (rc) return rc;
  out->port = hp.port;
  set_authority(out, &hp);
  return 0;
}

/* --- schemes ------------------------------------------------------------- */

/* The name server of dns://SERVER/: an IP address, since a name would want a
 * name server first. */
static int parse_server(io_target *out, caw_str s, const char **why) {
  host_port hp;
  io_address ip;
  char text[IO_ADDRESS_TEXT];
  if (!s.len) return 0;
  int rc = split(&hp, s, false, why);
  if (rc) return rc;
  if (!hp.has_port) hp.port = NAME_SERVER_PORT;
  if (hp.brackets) rc = parse_ip6(&ip, &hp, why);
  else if (!parse_ip4(&ip, &hp))
    rc = fail(why, "the name server in dns://SERVER/ must be an IP address");
  if (rc) return rc;
  size_t n = io_address_format(text, &ip);
  memcpy(out->server, text + 5, n - 5 + 1); /* without "ipv4:"; 59 bytes at most */
  return 0;
}

static int parse_dns(io_target *out, caw_str s, bool need_port, const char **why) {
  if (skip(&s, "//")) {
    const char *slash = find(s, '/');
    if (!slash) return fail(why, "write dns:///HOST:PORT, or dns://SERVER/HOST:PORT");
    int rc = parse_server(out, before(s, slash), why);
    if (rc) return rc;
    s = from(s, slash + 1);
  }
  return parse_host(out, s, need_port, why);
}

static int parse_list(io_target *out, caw_str s, bool v6, bool need_port, const char **why) {
  for (;;) {
    const char *comma = find(s, ',');
    host_port hp;
    int rc = split(&hp, comma ? before(s, comma) : s, need_port, why);
    if (rc) return rc;
    if (out->count == IO_TARGET_MAX) return fail(why, "more than 8 addresses in one target");
    io_address *a = &out->addresses[out->count];
    if (v6)
      rc = hp.brackets ? parse_ip6(a, &hp, why)
                       : fail(why, "ipv6: is followed by IPv6 addresses: ipv6:[::1]:PORT");
    else if (!parse_ip4(a, &hp))
      rc = fail(why, "ipv4: is followed by IPv4 addresses: ipv4:127.0.0.1:PORT");
    if (rc) return rc;
    if (!out->count++) {
      out->port = hp.port;
      set_authority(out, &hp);
    }
    if (!comma) return 0;
    s = from(s, comma + 1);
  }
}

static int parse_local(io_target *out, caw_str s, bool abstract, const char **why) {
  struct sockaddr_un *local = &out->addresses[0].u.local;
  if (!abstract && skip(&s, "//") && (!s.len || s.data[0] != '/'))
    return fail(why, "unix:// is followed by an absolute path: unix:///PATH");
  if (!s.len)
    return fail(why, abstract ? "missing name; write unix-abstract:NAME"
                              : "missing path; write unix:PATH");
  /* Both forms spend one byte on a NUL, before or behind. */
  if (s.len >= sizeof(local->sun_path))
    return fail(why, "path of a Unix socket is longer than 107 bytes");
  local->sun_family = AF_UNIX;
  memcpy(local->sun_path + abstract, s.data, s.len);
  out->addresses[0].len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s.len + 1);
  out->count = 1;
  memcpy(out->authority, "localhost", sizeof("localhost"));
  return 0;
}

int io_target_parse(io_target *out, caw_str s, bool need_port, const char **why) {
  memset(out, 0, sizeof(*out));
  *why = "";
  if (!s.len) return fail(why, "empty address; write HOST:PORT");
  if (find(s, 0)) return fail(why, "address contains a NUL byte");
  if (skip(&s, "dns:")) return parse_dns(out, s, need_port, why);
  if (skip(&s, "ipv4:")) return parse_list(out, s, false, need_port, why);
  if (skip(&s, "ipv6:")) return parse_list(out, s, true, need_port, why);
  if (skip(&s, "unix:")) return parse_local(out, s, false, why);
  if (skip(&s, "unix-abstract:")) return parse_local(out, s, true, why);
  const char *colon = find(s, ':');
  if (colon) {
    caw_str rest = from(s, colon);
    if (skip(&rest, "://"))
      return fail(why, "unknown scheme; known are dns, ipv4, ipv6, unix and unix-abstract");
  }
  return parse_host(out, s, need_port, why);
}

void io_address_set_port(io_address *a, uint16_t port) {
  if (a->u.any.sa_family == AF_INET) ((struct sockaddr_in *)(void *)&a->u)->sin_port = htons(port);
  else if (a->u.any.sa_family == AF_INET6)
    ((struct sockaddr_in6 *)(void *)&a->u)->sin6_port = htons(port);
}
