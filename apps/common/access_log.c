/* The lines of access_log.h. Room is there for all of them: see MOST. */
#include "access_log.h"

#include "text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Bytes of a text from outside. Each takes six at most ("\u001b"), there are seven of them, and the
 * rest of a line is below 1 KiB: 12 KiB. */
#define MOST 256

typedef struct line {
  char *data;
  size_t len;
} line;

CAW_PRINTF(2, 3) static void put(line *l, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(l->data + l->len, ACCESS_LOG_ROOM - l->len, format, args);
  va_end(args);
  if (n > 0) l->len += (size_t)n;
  if (l->len >= ACCESS_LOG_ROOM) l->len = ACCESS_LOG_ROOM - 1;
}

/* The number of a character of two or three bytes. */
static unsigned number_of(const unsigned char *p, size_t n) {
  return n == 2 ? (p[0] & 31u) << 6 | (p[1] & 63u)
                : (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
}

/* C1's control characters, what ends a line for many who read one (U+2028, U+2029), and what turns
 * the order of what follows around. */
static bool is_trick(unsigned c) {
  return c < 0xa0 || c == 0x61c || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2066 && c <= 0x2069);
}

/* Also other control characters, and in text what would end a word. */
static bool to_escape(const unsigned char *p, size_t n, bool json) {
  if (n > 1) return n < 4 && is_trick(number_of(p, n));
  if (*p < ' ' || *p == 0x7f || *p == '\\' || *p == '"') return true;
  return !json && *p == ' ';
}

static void put_escaped(line *l, const unsigned char *p, size_t n, bool json) {
  if (!json) {
    for (size_t i = 0; i < n; i++) put(l, "\\x%02x", p[i]);
  } else if (n == 1 && (*p == '"' || *p == '\\')) {
    put(l, "\\%c", *p);
  } else {
    put(l, "\\u%04x", n == 1 ? *p : number_of(p, n));
  }
}

/* A byte that is no UTF-8 becomes U+FFFD in JSON, which has no other way, and \xNN in text. */
static void put_text(line *l, caw_str text, bool json) {
  const unsigned char *p = (const unsigned char *)text.data;
  size_t len = text.len < MOST ? text.len : MOST;
  for (size_t i = 0, n; i < len; i += n) {
    n = text_character(p + i, text.len - i);
    if (!n && json) put(l, "\\ufffd");
    else if (!n || to_escape(p + i, n, json)) put_escaped(l, p + i, n ? n : 1, json);
    else {
      memcpy(l->data + l->len, p + i, n);
      l->len += n;
    }
    if (!n) n = 1;
  }
  if (text.len > MOST) put(l, "...");
}

/* UTC, as RFC 3339 has it. */
static void put_time(line *l, uint64_t ns) {
  time_t seconds = (time_t)(ns / 1000000000);
  struct tm utc;
  char text[32];
  gmtime_r(&seconds, &utc);
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  put(l, "%s.%06uZ", text, (unsigned)(ns % 1000000000 / 1000));
}

static void put_ms(line *l, uint64_t ns) {
  put(l, "%llu.%03u", (unsigned long long)(ns / 1000000), (unsigned)(ns / 1000 % 1000));
}

/* ---- Text ---- */

static void put_word(line *l, const char *name, caw_str text) {
  if (!text.len) return;
  put(l, " %s=", name);
  put_text(l, text, false);
}

static void put_plain(line *l, const caw_call_summary *c) {
  put_time(l, c->started_ns);
  put(l, " ");
  put_text(l, c->peer, false);
  put(l, " ");
  put_text(l, c->path, false);
  put(l, " %s ", caw_code_name(c->status.code));
  put_ms(l, c->duration_ns);
  put(l, "ms in=%llu/%lluB out=%llu/%lluB", (unsigned long long)c->received,
      (unsigned long long)c->received_bytes, (unsigned long long)c->sent,
      (unsigned long long)c->sent_bytes);
  if (c->timeout_ns != UINT64_MAX) {
    put(l, " timeout=");
    put_ms(l, c->timeout_ns);
    put(l, "ms");
  }
  put_word(l, "authority", c->authority);
  put_word(l, "agent", c->user_agent);
  put_word(l, "traceparent", c->traceparent);
  put_word(l, "message", c->status.message);
}

/* ---- JSON ---- */

static void put_string(line *l, const char *name, caw_str text) {
  if (!text.len) return;
  put(l, ",\"%s\":\"", name);
  put_text(l, text, true);
  put(l, "\"");
}

static void put_json(line *l, const caw_call_summary *c) {
  put(l, "{\"time\":\"");
  put_time(l, c->started_ns);
  put(l, "\"");
  put_string(l, "peer", c->peer);
  put_string(l, "method", c->path);
  put(l, ",\"status\":\"%s\"", caw_code_name(c->status.code));
  put_string(l, "message", c->status.message);
  put(l, ",\"duration_ms\":");
  put_ms(l, c->duration_ns);
  put(l, ",\"received\":%llu,\"received_bytes\":%llu,\"sent\":%llu,\"sent_bytes\":%llu",
      (unsigned long long)c->received, (unsigned long long)c->received_bytes,
      (unsigned long long)c->sent, (unsigned long long)c->sent_bytes);
  if (c->timeout_ns != UINT64_MAX) {
    put(l, ",\"timeout_ms\":");
    put_ms(l, c->timeout_ns);
  }
  put_string(l, "authority", c->authority);
  put_string(l, "user_agent", c->user_agent);
  put_string(l, "traceparent", c->traceparent);
  if (c->traceparent.len) put_string(l, "trace_id", caw_str_of(c->traceparent.data + 3, 32));
  put(l, "}");
}

/* ---- Lines ---- */

bool access_log_parse(access_log *out, const char *text) {
  bool json = !strcmp(text, "json");
  *out = json ? ACCESS_LOG_JSON : ACCESS_LOG_TEXT;
  return json || !strcmp(text, "text");
}

size_t access_log_line(char out[ACCESS_LOG_ROOM], const caw_call_summary *call, access_log kind) {
  line l = {out, 0};
  if (kind == ACCESS_LOG_JSON) put_json(&l, call);
  else put_plain(&l, call);
  return l.len;
}

/* In one write, so that the lines of several loops do not mix. */
void access_log_call(const caw_call_summary *call, void *user) {
  char text[ACCESS_LOG_ROOM + 1];
  size_t n = access_log_line(text, call, *(const access_log *)user);
  text[n] = '\n';
  fwrite(text, 1, n + 1, stderr);
}
