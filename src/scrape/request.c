/* The request heads of request.h. Lines end with CR LF, or LF alone (RFC 9112 2.2). */
#include "scrape/request.h"

#include <caw/str.h>
#include <string.h>
#include <strings.h>

size_t request_length(const char *data, size_t len) {
  for (size_t i = 0; i < len; i++) {
    if (data[i] != '\n') continue;
    if (i + 1 < len && data[i + 1] == '\n') return i + 2;
    if (i + 2 < len && data[i + 1] == '\r' && data[i + 2] == '\n') return i + 3;
  }
  return 0;
}

/* The next line, without its end; there is one. */
static caw_str take_line(const char **p, const char *end) {
  const char *line = *p, *stop = memchr(line, '\n', (size_t)(end - line));
  if (!stop) stop = end;
  *p = stop < end ? stop + 1 : end;
  if (stop > line && stop[-1] == '\r') stop--;
  return caw_str_of(line, (size_t)(stop - line));
}

/* The text up to a space, which is taken too. */
static caw_str take_word(caw_str *line) {
  const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
  size_t n = space ? (size_t)(space - line->data) : line->len;
  caw_str word = {line->data, n};
  size_t skip = space ? n + 1 : n;
  *line = caw_str_of(line->data + skip, line->len - skip);
  return word;
}

/* RFC 9110 5.6.2. */
static bool is_token(caw_str s) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.data[i];
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c))) return false;
  }
  return s.len > 0;
}

static bool is_visible(caw_str s) {
  for (size_t i = 0; i < s.len; i++)
    if (s.data[i] <= ' ' || s.data[i] > '~') return false;
  return s.len > 0;
}

/* Values may have spaces, and bytes beyond ASCII; no control characters. */
static bool is_value(caw_str s) {
  for (size_t i = 0; i < s.len; i++) {
    unsigned char c = (unsigned char)s.data[i];
    if ((c < ' ' && c != '\t') || c == 0x7f) return false;
  }
  return true;
}

static bool is_host(caw_str name) {
  return name.len == 4 && !strncasecmp(name.data, "host", 4);
}

/* The path of origin-form or absolute-form (RFC 9112 3.2), without its query. */
static caw_str path_of(caw_str target) {
  static const char scheme[] = "http://";
  const size_t n = sizeof(scheme) - 1;
  if (target.len > n && !strncasecmp(target.data, scheme, n)) {
    const char *slash = memchr(target.data + n, '/', target.len - n);
    size_t skip = slash ? (size_t)(slash - target.data) : target.len;
    target = caw_str_of(target.data + skip, target.len - skip);
  }
  const char *query = target.len ? memchr(target.data, '?', target.len) : NULL;
  if (query) target.len = (size_t)(query - target.data);
  return target;
}

/* Are the fields in order, with the one Host that HTTP/1.1 wants? */
static bool fields_fine(const char *p, const char *end, bool old) {
  unsigned hosts = 0;
  while (p < end) {
    caw_str line = take_line(&p, end);
    if (!line.len) break;
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon) return false;
    caw_str name = {line.data, (size_t)(colon - line.data)};
    caw_str value = {colon + 1, line.len - name.len - 1};
    if (!is_token(name) || !is_value(value)) return false;
    hosts += is_host(name);
  }
  return hosts == 1 || (old && hosts == 0);
}

void request_read(request *out, const char *data, size_t len) {
  const char *p = data, *end = data + len;
  *out = (request){.status = 400};
  caw_str line = take_line(&p, end);
  caw_str method = take_word(&line), target = take_word(&line), version = line;
  out->old = caw_str_is(version, "HTTP/1.0");
  if (!out->old && !caw_str_is(version, "HTTP/1.1")) return;
  if (!is_token(method) || !is_visible(target) || !fields_fine(p, end, out->old)) return;
  out->head = caw_str_is(method, "HEAD");
  if (!caw_str_is(path_of(target), "/metrics")) out->status = 404;
  else out->status = out->head || caw_str_is(method, "GET") ? 200 : 405;
}
