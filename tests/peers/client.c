/*
 * peer-client: makes the calls that it is told of on standard input, a line
 * for each, and prints what comes of them. On the public API and generated
 * code only.
 *
 * A line is words of the form key=value:
 *   call=unary|replies|requests|both
 *   n=N          requests of a stream (1), each with its index
 *   data=TEXT fill=BYTES size=BYTES replies=N stop_after=N code=N text=HEX
 *   id=NAME hang=1 headers_now=1 metadata=1     as in peer.proto
 *   meta=KEY:HEX metadata to send; may be repeated
 *   timeout=MS ready=1 (wait for ready) max_receive=BYTES
 *   count=N      so many such calls at once
 *   path=PATH    of the method instead of the real one
 *   cancel=N     cancel when N replies have come
 *   wait=cancel  cancel when a line "cancel" comes
 *   wait=read    do not read replies before a line "read" comes
 *   open=1       the stream of requests is not ended
 *   quiet=1      do not print each reply
 * and for each call these are printed: "header KEY HEX", "reply INDEX BYTES
 * HEX", "trailer KEY HEX", "status CODE HEX", with "total ..." for many.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

void print_hex(caw_str s) {
  for (size_t i = 0; i < s.len; i++) printf("%02x", (unsigned char)s.data[i]);
  putchar('\n');
}

void print_metadata(const char *what, const caw_metadata *m) {
  for (size_t i = 0; i < m->len; i++) {
    printf("%s %.*s ", what, CAW_STR_ARG(m->entries[i].key));
    print_hex(m->entries[i].value);
  }
}

/* ---- A call's progress, the same for both faces ---- */

void attempt_reply(attempt *a, const peer_answer *reply) {
  a->replies++;
  if (a->job->order.replies && reply->index != a->replies) a->disorder = true;
  if (a->job->quiet || a->job->count > 1) return;
  printf("reply %lld %zu %lld ", (long long)reply->index, reply->data.len,
         (long long)reply->requests);
  print_hex(reply->data.len <= 64 ? reply->data : caw_str_of(NULL, 0));
  fflush(stdout);
}

void attempt_done(attempt *a, int code, caw_str text) {
  job *j = a->job;
  j->replies += a->replies;
  if (a->disorder) j->disorder = true;
  if (code >= 0 && code <= 16) j->codes[code]++;
  if (j->count == 1 || (code && !j->shown)) {
    j->shown = true;
    printf("status %d ", code);
    print_hex(text);
  }
  if (++j->done < j->count) return;
  printf("total %d calls %lld replies %d ok %s\n", j->count, (long long)j->replies, j->codes[0],
         j->disorder ? "disorder" : "ordered");
  fflush(stdout);
}

peer_order job_order(const job *j, int i) {
  peer_order o = j->order;
  o.index = j->n > 1 ? i : 0;
  return o;
}

/* ---- Reading a line ---- */

static caw_str from_hex(caw_arena *arena, const char *hex) {
  size_t len = strlen(hex) / 2;
  char *out = caw_arena_alloc(arena, len);
  for (size_t i = 0; i < len; i++) {
    char byte[3] = {hex[2 * i], hex[2 * i + 1], 0};
    out[i] = (char)strtoul(byte, NULL, 16);
  }
  return caw_str_of(out, len);
}

static void read_meta(job *j, char *value) {
  char *hex = strchr(value, ':');
  if (!hex || j->n_meta == MAX_META) exit(2);
  *hex++ = '\0';
  j->meta[j->n_meta].key = caw_arena_dup(j->arena, caw_str_from(value));
  j->meta[j->n_meta++].value = from_hex(j->arena, hex);
}

static caw_str filled(caw_arena *arena, size_t len) {
  char *out = caw_arena_alloc(arena, len);
  memset(out, 'f', len);
  return caw_str_of(out, len);
}

static bool read_orders(job *j, const char *key, char *value) {
  peer_order *o = &j->order;
  if (!strcmp(key, "data")) o->data = caw_arena_dup(j->arena, caw_str_from(value));
  else if (!strcmp(key, "fill")) o->data = filled(j->arena, strtoul(value, NULL, 10));
  else if (!strcmp(key, "size")) o->size = atoi(value);
  else if (!strcmp(key, "replies")) o->replies = atoi(value);
  else if (!strcmp(key, "stop_after")) o->stop_after = atoi(value);
  else if (!strcmp(key, "code")) o->code = atoi(value);
  else if (!strcmp(key, "text")) o->text = from_hex(j->arena, value);
  else if (!strcmp(key, "id")) o->id = caw_arena_dup(j->arena, caw_str_from(value));
  else if (!strcmp(key, "hang")) o->hang = true;
  else if (!strcmp(key, "headers_now")) o->headers_now = true;
  else if (!strcmp(key, "metadata")) o->metadata = true;
  else return false;
  return true;
}

static const caw_method *method_of(const char *name) {
  if (!strcmp(name, "unary")) return &peer_callback_unary_method;
  if (!strcmp(name, "replies")) return &peer_callback_replies_method;
  if (!strcmp(name, "requests")) return &peer_callback_requests_method;
  if (!strcmp(name, "both")) return &peer_callback_both_method;
  fprintf(stderr, "peer-client: no such call: %s\n", name);
  exit(2);
}

static void read_word(job *j, const char *key, char *value) {
  if (read_orders(j, key, value)) return;
  if (!strcmp(key, "call")) j->method = *method_of(value);
  else if (!strcmp(key, "n")) j->n = atoi(value);
  else if (!strcmp(key, "meta")) read_meta(j, value);
  else if (!strcmp(key, "timeout")) j->options.timeout_ms = strtoull(value, NULL, 10);
  else if (!strcmp(key, "ready")) j->options.wait_for_ready = true;
  else if (!strcmp(key, "max_receive")) j->options.max_receive = strtoul(value, NULL, 10);
  else if (!strcmp(key, "count")) j->count = atoi(value);
  else if (!strcmp(key, "path")) j->method.path = caw_arena_dup(j->arena, caw_str_from(value)).data;
  else if (!strcmp(key, "cancel")) j->cancel_after = atoi(value);
  else if (!strcmp(key, "wait")) *(strcmp(value, "read") ? &j->wait_cancel : &j->wait_read) = true;
  else if (!strcmp(key, "open")) j->open = true;
  else if (!strcmp(key, "quiet")) j->quiet = true;
  else {
    fprintf(stderr, "peer-client: no such word: %s\n", key);
    exit(2);
  }
}

job *job_read(char *line) {
  job *j = calloc(1, sizeof(*j));
  if (!j || !(j->arena = caw_arena_new(0))) exit(1);
  j->options.size = sizeof(j->options);
  j->method = peer_callback_unary_method;
  j->n = j->count = 1;
  j->cancel_after = -1;
  for (char *save, *word = strtok_r(line, " \n", &save); word;
       word = strtok_r(NULL, " \n", &save)) {
    char *value = strchr(word, '=');
    if (!value) exit(2);
    *value++ = '\0';
    read_word(j, word, value);
  }
  j->options.metadata = j->meta;
  j->options.metadata_len = j->n_meta;
  return j;
}

void job_free(job *j) {
  if (!j) return;
  caw_arena_free(j->arena);
  free(j);
}

bool job_sends_many(const job *j) {
  return j->method.kind == CAW_CLIENT_STREAM || j->method.kind == CAW_BIDI;
}

int main(int argc, char **argv) {
  if (argc != 3 || (strcmp(argv[1], "callback") && strcmp(argv[1], "blocking"))) {
    fprintf(stderr, "Usage: peer-client callback|blocking TARGET\n");
    return 2;
  }
  return strcmp(argv[1], "blocking") ? callback_main(argv[2]) : blocking_main(argv[2]);
}
