/* Memory runs out: calls. */
#include "heap.h"
#include "scenario.h"

#include <caw/credentials.h>
#include <caw/payload.h>
#include <stdio.h>
#include <string.h>

/* ---- Kinds of calls ---- */

static int unary(world *w) {
  talk t = {0};
  int code = talk_all(w, &t, &echo, NULL);
  if (!code) must_be(t.bytes, 8);
  return code;
}

static void check_metadata(const talk *t) {
  must(t->metadata);
  must(t->trailers);
}

static int server_stream(world *w) {
  talk t = {0};
  int code = talk_all(w, &t, &down, NULL);
  if (code) return code;
  must_be(t.bytes, MANY * BIG);
  check_metadata(&t);
  return 0;
}

static int client_stream(world *w) {
  talk t = {.to_send = MANY};
  int code = talk_all(w, &t, &up, NULL);
  if (code) return code;
  must_be(served.came, MANY);
  check_metadata(&t);
  return 0;
}

static int bidirectional_with(world *w, const caw_call_options *o) {
  talk t = {.to_send = 3};
  int code = talk_all(w, &t, &both, o);
  if (code) return code;
  must_be(t.bytes, 3 * BIG);
  check_metadata(&t);
  return 0;
}

static int bidirectional(world *w) {
  return bidirectional_with(w, NULL);
}

static int large(world *w) {
  talk t = {.size = sizeof(big)};
  int code = talk_all(w, &t, &echo, NULL);
  if (!code) must_be(t.bytes, sizeof(big));
  return code;
}

/* Eight at once, in one turn. */
static int many_at_once(world *w) {
  talk t[8];
  int rc[8], worst = 0;
  memset(t, 0, sizeof(t));
  for (int i = 0; i < 8; i++) rc[i] = talk_begin(w, &t[i], &echo, w->channel, NULL);
  for (int i = 0; i < 8; i++) {
    int code = rc[i] ? rc[i] : talk_end(w, &t[i]);
    if (code) worst = code;
  }
  return worst;
}

/* ---- What they carry ---- */

static int requests_in(world *w, caw_encoding encoding) {
  const caw_call_options o = {.size = sizeof(o), .encoding = encoding};
  return bidirectional_with(w, &o);
}

static int gzip_requests(world *w) {
  return requests_in(w, CAW_ENCODING_GZIP);
}

static int deflate_requests(world *w) {
  return requests_in(w, CAW_ENCODING_DEFLATE);
}

static int replies_in(world *w, caw_encoding encoding) {
  served.encoding = encoding;
  int code = bidirectional(w);
  served.encoding = CAW_ENCODING_DEFAULT;
  return code;
}

static int gzip_replies(world *w) {
  return replies_in(w, CAW_ENCODING_GZIP);
}

static int deflate_both_ways(world *w) {
  served.encoding = CAW_ENCODING_DEFLATE;
  int code = deflate_requests(w);
  served.encoding = CAW_ENCODING_DEFAULT;
  return code;
}

static int gzip_both_ways(world *w) {
  served.encoding = CAW_ENCODING_GZIP;
  int code = gzip_requests(w);
  served.encoding = CAW_ENCODING_DEFAULT;
  return code;
}

static int metadata(world *w) {
  enum { N = 24 };
  static char keys[N][24], values[N][300];
  caw_metadata_entry entries[N];
  for (int i = 0; i < N; i++) {
    int n = snprintf(keys[i], sizeof(keys[i]), i % 3 ? "x-key-%d" : "x-key-%d-bin", i);
    memset(values[i], i % 3 ? 'a' + i : i, sizeof(values[i]));
    entries[i] = (caw_metadata_entry){caw_str_of(keys[i], (size_t)n),
                                      caw_str_of(values[i], (size_t)(i + 1) * 12)};
  }
  const caw_call_options o = {.size = sizeof(o), .metadata = entries, .metadata_len = N};
  talk t = {0};
  return talk_all(w, &t, &echo, &o);
}

static int details(world *w) {
  talk t = {0};
  int code = talk_all(w, &t, &fails, NULL);
  return code == CAW_INVALID_ARGUMENT && t.details ? 0 : code;
}

/* ---- How they end ---- */

static int cancelled(world *w) {
  talk t = {.cancel = true};
  int code = talk_all(w, &t, &down, NULL);
  return code == CAW_CANCELLED && t.replies == 1 ? 0 : code;
}

static int expired(world *w) {
  const caw_call_options o = {.size = sizeof(o),
                              .timeout_ms = !w->how.cold ? 3
                                            : w->how.tls ? 40
                                                         : 20};
  talk t = {0};
  int code = talk_all(w, &t, &waits, &o);
  must(code != 0);
  return code == CAW_DEADLINE_EXCEEDED ? 0 : code;
}

/* A call that a handler makes, cancelled from above: both must end. */
static void make_downstream(world *w) {
  const caw_channel_options o = {.size = sizeof(o), .loop = w->loop};
  must_be(caw_channel_new(&served.downstream, w->target, &o, NULL), 0);
}

static void free_downstream(world *w) {
  (void)w;
  caw_channel_free(served.downstream);
}

static int relayed(world *w) {
  talk t = {0};
  return talk_all(w, &t, &relay, NULL);
}

/* ---- One message for many ---- */

static int fan_out(world *w) {
  enum { N = 3 };
  talk t[N];
  int rc[N], worst = 0, begun = 0;
  caw_payload *payload = NULL;
  caw_str text = caw_str_of(big, BIG);
  memset(t, 0, sizeof(t));
  for (int i = 0; i < N; i++) {
    rc[i] = talk_begin(w, &t[i], &join, w->channel, NULL);
    begun += !rc[i];
  }
  while (served.n_joined + t[0].done + t[1].done + t[2].done < begun)
    caw_loop_run(w->loop, CAW_LOOP_ONCE);
  int made = caw_payload_new(&payload, &caw_type_bytes, &text);
  for (int i = 0; i < served.n_joined; i++) {
    caw_call *call = served.joined[i];
    if (!call) continue;
    int sent = made ? made : caw_call_send_payload(call, payload);
    served.joined[i] = NULL;
    caw_call_finish(call, sent == CAW_ECLOSED ? 0 : sent, NULL);
  }
  caw_payload_unref(payload);
  for (int i = 0; i < N; i++) {
    int code = rc[i] ? rc[i] : talk_end(w, &t[i]);
    if (code) worst = code;
    else must_be(t[i].bytes, BIG);
  }
  return worst;
}

/* ---- Interceptors and credentials ---- */

static void decide(void *call) {
  caw_call_decide(call, 0, NULL);
}

static int later(caw_call *call) {
  int rc = caw_loop_post(caw_call_loop(call), decide, call);
  return rc ? rc : CAW_PENDING;
}

static int on_request(caw_call *call, void *user) {
  (void)user;
  static const caw_key key = {"a key", NULL};
  if (caw_call_method(call) && !strcmp(caw_call_method(call)->path, echo.path)) return 0;
  int rc = caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-added"),
                                 caw_str_from("a value"));
  if (!rc) rc = caw_call_set_value(call, &key, (void *)(uintptr_t)&key);
  return rc ? rc : later(call);
}

static void on_headers(caw_call *call, void *user) {
  (void)user;
  caw_call_metadata_add(call, CAW_RESPONSE_HEADERS, caw_str_from("x-h"), caw_str_from("1"));
}

static void on_message(caw_call *call, const caw_message_info *m, void *user) {
  (void)call, (void)user;
  must(m->travels <= m->size);
}

static void on_status(caw_call *call, caw_status *status, void *user) {
  (void)status, (void)user;
  caw_call_metadata_add(call, CAW_RESPONSE_TRAILERS, caw_str_from("x-t"), caw_str_from("1"));
}

static const caw_interceptor interceptor = {sizeof(interceptor), on_request, NULL, on_headers,
                                            on_message,          on_status,  NULL};

static void add_interceptors(world *w) {
  for (int i = 0; i < 2; i++) {
    must_be(caw_server_intercept(w->server, &interceptor, NULL), 0);
    must_be(caw_channel_intercept(w->channel, &interceptor, NULL), 0);
  }
}

static int get_token(caw_call *call, const caw_credentials_context *context, void *user) {
  (void)context, (void)user;
  int rc = caw_call_metadata_add(call, CAW_REQUEST_METADATA, caw_str_from("x-token"),
                                 caw_str_from("secret"));
  return rc ? rc : later(call);
}

static void give_credentials(world *w, caw_server_options *server, caw_channel_options *channel) {
  static const caw_credentials_plugin plugin = {sizeof(plugin), get_token, NULL};
  (void)w, (void)server;
  caw_call_credentials *a, *b;
  must_be(caw_call_credentials_bearer(&a, caw_str_from("t0ken")), 0);
  must_be(caw_call_credentials_new(&b, &plugin, NULL), 0);
  must_be(caw_call_credentials_compose(&channel->call_credentials, a, b), 0);
  caw_call_credentials_unref(a);
  caw_call_credentials_unref(b);
  w->extra = channel->call_credentials;
}

static void take_credentials(world *w) {
  caw_call_credentials_unref(w->extra);
}

static int with_credentials(world *w) {
  caw_call_credentials *mine;
  int rc = caw_call_credentials_bearer(&mine, caw_str_from("another"));
  if (rc) return rc;
  const caw_call_options o = {.size = sizeof(o), .credentials = mine};
  talk t = {0};
  rc = talk_all(w, &t, &echo, &o);
  caw_call_credentials_unref(mine);
  return rc;
}

#define WARM                                                                                       \
  { .warm = true }
#define BIT(status) (UINT32_C(1) << (status))

const scenario call_scenarios[] = {
    {.name = "unary, connecting", .run = unary, .sources = HEAP_LOOP},
    {.name = "unary", .run = unary, .how = WARM},
    {.name = "server stream", .run = server_stream, .how = WARM},
    {.name = "client stream", .run = client_stream, .how = WARM},
    {.name = "bidirectional", .run = bidirectional, .how = WARM},
    {.name = "large messages", .run = large, .how = WARM},
    {.name = "many at once", .run = many_at_once, .how = WARM},
    {.name = "gzip requests", .run = gzip_requests, .how = WARM},
    {.name = "gzip replies", .run = gzip_replies, .how = WARM},
    {.name = "deflate both ways", .run = deflate_both_ways, .how = WARM},
    {.name = "metadata", .run = metadata, .how = WARM},
    {.name = "details of an error", .run = details, .how = WARM, .also = BIT(CAW_INVALID_ARGUMENT)},
    {.name = "cancellation", .run = cancelled, .how = WARM},
    {.name = "deadline", .run = expired, .how = WARM, .also = BIT(CAW_DEADLINE_EXCEEDED)},
    {.name = "a call for a call",
     .run = relayed,
     .close = free_downstream,
     .first = true,
     .how = {.warm = true, .equip = make_downstream}},
    {.name = "one payload for three", .run = fan_out, .how = WARM},
    {.name = "interceptors",
     .run = bidirectional,
     .how = {.warm = true, .equip = add_interceptors}},
    {.name = "credentials",
     .run = with_credentials,
     .close = take_credentials,
     .how = {.warm = true, .prepare = give_credentials}},
    FIRST("first unary", .run = unary),
    FIRST("first server stream", .run = server_stream),
    FIRST("first client stream", .run = client_stream),
    FIRST("first bidirectional", .run = bidirectional),
    FIRST("first gzip both ways", .run = gzip_both_ways),
    FIRST("first cancellation", .run = cancelled),
    FIRST("first deadline", .run = expired, .also = BIT(CAW_DEADLINE_EXCEEDED)),
    FIRST("first unary, watched", .run = unary, .how.watched = true),
    FIRST("first bidirectional, watched", .run = bidirectional, .how.watched = true),
    {.name = NULL},
};
