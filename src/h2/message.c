/* The rules of message.h. */
#include "h2/message.h"
#include "h2/field_chars.h"

#include <string.h>

#define BIT(token) ((uint32_t)1 << (token))

/* Without these a request is malformed (RFC 9113 section 8.3.1). */
#define REQUIRED (BIT(H2_T_METHOD) | BIT(H2_T_SCHEME) | BIT(H2_T_PATH))
/* One of these names the server. */
#define SERVER (BIT(H2_T_AUTHORITY) | BIT(H2_T_HOST))

void message_begin(h2_message *m) {
  memset(m, 0, sizeof(*m));
  m->left = -1;
}

/* Notes a field that may stand only once in a block. */
static bool once(h2_message *m, uint8_t token) {
  if (m->seen & BIT(token)) return false;
  m->seen |= BIT(token);
  return true;
}

static bool blank(caw_str text) {
  if (text.len && text.data[0] > ' ') return false;
  for (size_t i = 0; i < text.len; i++)
    if (text.data[i] != ' ' && text.data[i] != '\t') return false;
  return true;
}

/* Not in answers that have no content whatever it says (RFC 9110 section 8.6). */
static bool content_length(h2_message *m, caw_str value) {
  if (m->status / 100 == 1 || (m->status / 100 == 2 && m->to_connect)) return false;
  if (!once(m, H2_T_CONTENT_LENGTH) || !value.len) return false;
  int64_t n = 0;
  for (size_t i = 0; i < value.len; i++) {
    if (value.data[i] < '0' || value.data[i] > '9') return false;
    int digit = value.data[i] - '0';
    if (n > (INT64_MAX - digit) / 10) return false;
    n = n * 10 + digit;
  }
  m->left = n;
  return true;
}

static bool trailers_text(caw_str v) {
  static const char word[] = "trailers";
  if (caw_str_is(v, "trailers")) return true;
  if (v.len != sizeof(word) - 1) return false;
  for (size_t i = 0; i < v.len; i++)
    if ((v.data[i] | 0x20) != word[i]) return false;
  return true;
}

static bool status(h2_message *m, caw_str v) {
  if (v.len != 3) return false;
  unsigned n = 0;
  for (size_t i = 0; i < 3; i++) {
    if (v.data[i] < '0' || v.data[i] > '9') return false;
    n = n * 10 + (unsigned)(v.data[i] - '0');
  }
  m->status = (uint16_t)n;
  return n >= 100 && n != 101; /* RFC 9113 section 8.6 */
}

/* Pseudo-header fields come first, each once, and not in trailers (RFC 9113
 * section 8.3). */
static bool pseudo(h2_message *m, h2_role reader, const h2_field *f) {
  if (m->leading || m->regular || !once(m, f->token)) return false;
  if (reader == H2_CLIENT) return f->token == H2_T_STATUS && status(m, f->value);
  switch (f->token) {
  case H2_T_METHOD:
    m->connect = caw_str_is(f->value, "CONNECT");
    m->options = caw_str_is(f->value, "OPTIONS");
    return !blank(f->value);
  case H2_T_PATH:
    m->slash = f->value.len && f->value.data[0] == '/';
    m->asterisk = caw_str_is(f->value, "*");
    return !blank(f->value);
  case H2_T_SCHEME:
    m->web = caw_str_is(f->value, "http") || caw_str_is(f->value, "https");
    return !blank(f->value);
  case H2_T_AUTHORITY:
    return !blank(f->value);
  default:
    return false; /* none that we know, or a response's */
  }
}

bool message_rule(h2_message *m, h2_role reader, const h2_field *f) {
  if (f->flags & H2_FIELD_INVALID) return false;
  if (f->name.len && f->name.data[0] == ':') return pseudo(m, reader, f);
  m->regular = true;
  switch (f->token) {
  case H2_T_CONNECTION: /* what HTTP/1.1 says of a connection: RFC 9113 section 8.2.2 */
  case H2_T_KEEP_ALIVE:
  case H2_T_PROXY_CONNECTION:
  case H2_T_TRANSFER_ENCODING:
  case H2_T_UPGRADE:
    return false;
  case H2_T_TE:
    return trailers_text(f->value);
  case H2_T_HOST:
    if (reader == H2_CLIENT || m->leading) return true;
    return once(m, H2_T_HOST) && !blank(f->value) && h2_authority_valid(f->value);
  case H2_T_CONTENT_LENGTH:
    return m->leading || content_length(m, f->value);
  default:
    return true;
  }
}

static bool request_complete(const h2_message *m) {
  if (m->connect)
    return (m->seen & (REQUIRED | BIT(H2_T_AUTHORITY))) == (BIT(H2_T_METHOD) | BIT(H2_T_AUTHORITY));
  if ((m->seen & REQUIRED) != REQUIRED || !(m->seen & SERVER)) return false;
  return !m->web || m->slash || (m->options && m->asterisk);
}

bool message_block(h2_message *m, h2_role reader, bool end, bool *informational) {
  *informational = false;
  if (m->leading) return end && message_end(m); /* trailers */
  if (reader == H2_SERVER) {
    if (!request_complete(m)) return false;
  } else if (m->status / 100 == 1) {
    bool to_head = m->to_head, to_connect = m->to_connect;
    message_begin(m);
    m->to_head = to_head;
    m->to_connect = to_connect;
    *informational = true;
    return !end;
  } else if (!m->status) {
    return false;
  }
  m->leading = true;
  bool bodiless = m->to_head || m->status == 204 || m->status == 304;
  if (bodiless) m->left = 0;
  else if (m->to_connect && m->status / 100 == 2) m->left = -1;
  return !end || message_end(m);
}

bool message_data(h2_message *m, size_t len) {
  if (!m->leading) return false;
  if (m->left < 0) return true;
  if ((uint64_t)m->left < len) return false;
  m->left -= (int64_t)len;
  return true;
}

bool message_end(const h2_message *m) {
  return m->left <= 0;
}

void message_asked(h2_message *m, const h2_field *fields, size_t n) {
  for (size_t i = 0; i < n && fields[i].name.len && fields[i].name.data[0] == ':'; i++) {
    if (!caw_str_is(fields[i].name, ":method")) continue;
    m->to_head = caw_str_is(fields[i].value, "HEAD");
    m->to_connect = caw_str_is(fields[i].value, "CONNECT");
  }
}
