/*
 * The channelz service (caw/channelz.h), on the public API only. What is asked for is copied into
 * the call's arena first (`page`), since the functions of caw/channelz.h tell it under a lock, and
 * made into messages then.
 */
#include <caw/channelz.h>

#include <arpa/inet.h>
#include <grpc/channelz/v1/channelz.caw.h>
#include <stdlib.h>

/* Shorter names for what the generated ones say. */
#define Z(name)          grpc_channelz_v1_##name
#define ADDRESS_CASE(is) GRPC_CHANNELZ_V1_ADDRESS_ADDRESS_CASE_##is
#define STATE_OF(state)  ((state) + 1) /* the service's have UNKNOWN before caw_connectivity's */

typedef struct page {
  caw_arena *arena;
  caw_channelz_info *items;
  size_t len;
  bool end;
  bool failed; /* memory is out */
} page;

/* ---- Copies ---- */

static void keep(const caw_channelz_info *info, void *user) {
  page *p = user;
  caw_channelz_info *to = &p->items[p->len++];
  *to = *info;
  caw_str *const texts[] = {&to->name, &to->local, &to->remote, &to->tls, &to->cipher};
  for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
    if (!texts[i]->len) continue;
    *texts[i] = caw_arena_dup(p->arena, *texts[i]);
    if (!texts[i]->data) p->failed = true;
  }
}

static int begin_page(page *p, caw_arena *arena, size_t room) {
  *p = (page){.arena = arena};
  p->items = caw_arena_calloc(arena, room, sizeof(*p->items));
  return p->items ? 0 : CAW_ENOMEM;
}

/* A page of those with this parent, 0: of any. */
static int take_page(page *p, caw_arena *arena, caw_channelz *z, caw_channelz_kind kind,
                     int64_t parent, int64_t start, int64_t max) {
  size_t most = max > 0 && max < CAW_CHANNELZ_PAGE ? (size_t)max : CAW_CHANNELZ_PAGE;
  int rc = begin_page(p, arena, most);
  if (rc) return rc;
  caw_channelz_read(z, kind, parent, start, most, keep, p, &p->end);
  return p->failed ? CAW_ENOMEM : 0;
}

/* The one; CAW_NOT_FOUND with a text for the call. */
static int take_one(page *p, caw_call *call, caw_channelz *z, caw_channelz_kind kind, int64_t id,
                    const char *what) {
  int rc = begin_page(p, caw_call_arena(call), 1);
  if (rc) return rc;
  if (!caw_channelz_find(z, kind, id, keep, p))
    return caw_call_fail(call, CAW_NOT_FOUND, "there is no %s %lld", what, (long long)id);
  return p->failed ? CAW_ENOMEM : 0;
}

static int check_page(caw_call *call, int64_t start, int64_t max) {
  if (start >= 0 && max >= 0) return 0;
  return caw_call_fail(call, CAW_INVALID_ARGUMENT, "%s must not be negative",
                       start < 0 ? "the start id" : "max_results");
}

/* ---- Parts of messages; NULL: memory is out ---- */

/* As a pointer for a member; *fine becomes false when memory is out. A time that never was is no
 * message at all. */
static Z(timestamp) * make_time(caw_arena *a, uint64_t ns, bool *fine) {
  if (!ns) return NULL;
  Z(timestamp) *t = caw_arena_calloc(a, 1, sizeof(*t));
  if (!t) {
    *fine = false;
    return NULL;
  }
  t->seconds = (int64_t)(ns / 1000000000);
  t->nanos = (int32_t)(ns % 1000000000);
  return t;
}

/* "ipv4:1.2.3.4:5", "ipv6:[::1]:5" as bytes; false for others. */
static bool read_ip(Z(address_tcp_ip_address) * to, caw_arena *a, caw_str text) {
  char host[64];
  bool six = text.len > 5 && !memcmp(text.data, "ipv6:", 5);
  if (!six && (text.len < 6 || memcmp(text.data, "ipv4:", 5) != 0)) return false;
  if (text.len - 5 >= sizeof(host)) return false;
  memcpy(host, text.data + 5, text.len - 5);
  host[text.len - 5] = '\0';
  char *port = strrchr(host, ':'), *name = six ? host + 1 : host;
  if (!port) return false;
  *port++ = '\0';
  char *end = strpbrk(name, "%]");
  if (end) *end = '\0';
  size_t len = six ? 16 : 4;
  char *bytes = caw_arena_alloc(a, len);
  if (!bytes || inet_pton(six ? AF_INET6 : AF_INET, name, bytes) != 1) return false;
  to->ip_address = caw_str_of(bytes, len);
  to->port = (int32_t)strtol(port, NULL, 10);
  return true;
}

static Z(address) * make_address(caw_arena *a, caw_str text, bool *fine) {
  if (!text.len) return NULL;
  Z(address) *out = caw_arena_calloc(a, 1, sizeof(*out));
  Z(address_tcp_ip_address) *ip = caw_arena_calloc(a, 1, sizeof(*ip));
  Z(address_uds_address) *uds = caw_arena_calloc(a, 1, sizeof(*uds));
  Z(address_other_address) *other = caw_arena_calloc(a, 1, sizeof(*other));
  if (!out || !ip || !uds || !other) {
    *fine = false;
  } else if (read_ip(ip, a, text)) {
    out->address.tcpip_address = ip;
    out->address_case = ADDRESS_CASE(TCPIP_ADDRESS);
  } else if (text.len >= 5 && !memcmp(text.data, "unix:", 5)) {
    uds->filename = caw_str_of(text.data + 5, text.len - 5);
    out->address.uds_address = uds;
    out->address_case = ADDRESS_CASE(UDS_ADDRESS);
  } else {
    other->name = text;
    out->address.other_address = other;
    out->address_case = ADDRESS_CASE(OTHER_ADDRESS);
  }
  return out;
}

static Z(security) * make_security(caw_arena *a, caw_str cipher, bool *fine) {
  if (!cipher.len) return NULL;
  Z(security) *out = caw_arena_calloc(a, 1, sizeof(*out));
  Z(security_tls) *tls = caw_arena_calloc(a, 1, sizeof(*tls));
  if (!out || !tls) {
    *fine = false;
    return NULL;
  }
  tls->cipher_suite.standard_name = cipher;
  tls->cipher_suite_case = GRPC_CHANNELZ_V1_SECURITY_TLS_CIPHER_SUITE_CASE_STANDARD_NAME;
  out->model.tls = tls;
  out->model_case = GRPC_CHANNELZ_V1_SECURITY_MODEL_CASE_TLS;
  return out;
}

static Z(channel_data) * make_data(caw_arena *a, const caw_channelz_info *info, bool *fine) {
  Z(channel_data) *d = caw_arena_calloc(a, 1, sizeof(*d));
  Z(channel_connectivity_state) *state = caw_arena_calloc(a, 1, sizeof(*state));
  if (!d || !state) {
    *fine = false;
    return NULL;
  }
  state->state = STATE_OF((int)info->state);
  d->state = state;
  d->target = info->name;
  d->calls_started = (int64_t)info->calls_started;
  d->calls_succeeded = (int64_t)info->calls_succeeded;
  d->calls_failed = (int64_t)info->calls_failed;
  d->last_call_started_timestamp = make_time(a, info->last_call_started_ns, fine);
  return d;
}

/* References to the sockets, or listeners, of a parent: those of the first page. */
static int add_sockets(Z(socket_ref) * *items, size_t *len, caw_arena *a, caw_channelz *z,
                       caw_channelz_kind kind, int64_t parent) {
  page p;
  int rc = take_page(&p, a, z, kind, parent, 0, 0);
  if (rc) return rc;
  *items = caw_arena_calloc(a, p.len + 1, sizeof(**items));
  if (!*items) return CAW_ENOMEM;
  *len = p.len;
  for (size_t i = 0; i < p.len; i++)
    (*items)[i] = (Z(socket_ref)){.socket_id = p.items[i].id, .name = p.items[i].name};
  return 0;
}

/* ---- Messages ---- */

static int make_channel(Z(channel) * out, caw_arena *a, caw_channelz *z,
                        const caw_channelz_info *info) {
  page below;
  bool fine = true;
  int rc = take_page(&below, a, z, CAW_CHANNELZ_SUBCHANNEL, info->id, 0, 0);
  if (rc) return rc;
  out->ref = caw_arena_calloc(a, 1, sizeof(*out->ref));
  out->data = make_data(a, info, &fine);
  out->subchannel_ref.items =
      caw_arena_calloc(a, below.len + 1, sizeof(*out->subchannel_ref.items));
  if (!out->ref || !fine || !out->subchannel_ref.items) return CAW_ENOMEM;
  out->ref->channel_id = info->id;
  out->ref->name = info->name;
  out->subchannel_ref.len = below.len;
  for (size_t i = 0; i < below.len; i++)
    out->subchannel_ref.items[i] =
        (Z(subchannel_ref)){.subchannel_id = below.items[i].id, .name = below.items[i].name};
  return 0;
}

static int make_subchannel(Z(subchannel) * out, caw_arena *a, caw_channelz *z,
                           const caw_channelz_info *info) {
  bool fine = true;
  out->ref = caw_arena_calloc(a, 1, sizeof(*out->ref));
  out->data = make_data(a, info, &fine);
  if (!out->ref || !fine) return CAW_ENOMEM;
  out->ref->subchannel_id = info->id;
  out->ref->name = info->name;
  return add_sockets(&out->socket_ref.items, &out->socket_ref.len, a, z, CAW_CHANNELZ_SOCKET,
                     info->id);
}

static int make_server(Z(server) * out, caw_arena *a, caw_channelz *z,
                       const caw_channelz_info *info) {
  bool fine = true;
  out->ref = caw_arena_calloc(a, 1, sizeof(*out->ref));
  out->data = caw_arena_calloc(a, 1, sizeof(*out->data));
  if (!out->ref || !out->data) return CAW_ENOMEM;
  out->ref->server_id = info->id;
  out->data->calls_started = (int64_t)info->calls_started;
  out->data->calls_succeeded = (int64_t)info->calls_succeeded;
  out->data->calls_failed = (int64_t)info->calls_failed;
  out->data->last_call_started_timestamp = make_time(a, info->last_call_started_ns, &fine);
  if (!fine) return CAW_ENOMEM;
  return add_sockets(&out->listen_socket.items, &out->listen_socket.len, a, z,
                     CAW_CHANNELZ_LISTENER, info->id);
}

static int make_socket_data(Z(socket_data) * d, caw_arena *a, const caw_channelz_info *info,
                            bool local) {
  bool fine = true;
  d->streams_started = (int64_t)info->streams_started;
  d->streams_succeeded = (int64_t)info->streams_succeeded;
  d->streams_failed = (int64_t)info->streams_failed;
  d->messages_sent = (int64_t)info->messages_sent;
  d->messages_received = (int64_t)info->messages_received;
  d->keep_alives_sent = (int64_t)info->keepalives_sent;
  Z(timestamp) *created = make_time(a, info->last_stream_created_ns, &fine);
  if (local) d->last_local_stream_created_timestamp = created;
  else d->last_remote_stream_created_timestamp = created;
  d->last_message_sent_timestamp = make_time(a, info->last_message_sent_ns, &fine);
  d->last_message_received_timestamp = make_time(a, info->last_message_received_ns, &fine);
  return fine ? 0 : CAW_ENOMEM;
}

static int make_socket(Z(socket) * out, caw_arena *a, const caw_channelz_info *info, bool local) {
  bool fine = true;
  out->ref = caw_arena_calloc(a, 1, sizeof(*out->ref));
  out->data = caw_arena_calloc(a, 1, sizeof(*out->data));
  if (!out->ref || !out->data) return CAW_ENOMEM;
  out->ref->socket_id = info->id;
  out->ref->name = info->name;
  out->local = make_address(a, info->local, &fine);
  out->remote = make_address(a, info->remote, &fine);
  out->security = make_security(a, info->cipher, &fine);
  return fine ? make_socket_data(out->data, a, info, local) : CAW_ENOMEM;
}

/* ---- The methods ---- */

static int get_top_channels(caw_call *call, const Z(get_top_channels_request) * q,
                            Z(get_top_channels_response) * reply, void *self) {
  page p;
  caw_arena *a = caw_call_arena(call);
  int rc = check_page(call, q->start_channel_id, q->max_results);
  if (!rc)
    rc = take_page(&p, a, self, CAW_CHANNELZ_CHANNEL, 0, q->start_channel_id, q->max_results);
  if (rc) return rc;
  reply->end = p.end;
  reply->channel.items = caw_arena_calloc(a, p.len + 1, sizeof(*reply->channel.items));
  if (!reply->channel.items) return CAW_ENOMEM;
  reply->channel.len = p.len;
  for (size_t i = 0; i < p.len && !rc; i++)
    rc = make_channel(&reply->channel.items[i], a, self, &p.items[i]);
  return rc;
}

static int get_servers(caw_call *call, const Z(get_servers_request) * q,
                       Z(get_servers_response) * reply, void *self) {
  page p;
  caw_arena *a = caw_call_arena(call);
  int rc = check_page(call, q->start_server_id, q->max_results);
  if (!rc) rc = take_page(&p, a, self, CAW_CHANNELZ_SERVER, 0, q->start_server_id, q->max_results);
  if (rc) return rc;
  reply->end = p.end;
  reply->server.items = caw_arena_calloc(a, p.len + 1, sizeof(*reply->server.items));
  if (!reply->server.items) return CAW_ENOMEM;
  reply->server.len = p.len;
  for (size_t i = 0; i < p.len && !rc; i++)
    rc = make_server(&reply->server.items[i], a, self, &p.items[i]);
  return rc;
}

static int get_server(caw_call *call, const Z(get_server_request) * q,
                      Z(get_server_response) * reply, void *self) {
  page p;
  int rc = take_one(&p, call, self, CAW_CHANNELZ_SERVER, q->server_id, "server");
  if (rc) return rc;
  reply->server = caw_arena_calloc(p.arena, 1, sizeof(*reply->server));
  return reply->server ? make_server(reply->server, p.arena, self, p.items) : CAW_ENOMEM;
}

static int get_server_sockets(caw_call *call, const Z(get_server_sockets_request) * q,
                              Z(get_server_sockets_response) * reply, void *self) {
  page p;
  caw_arena *a = caw_call_arena(call);
  int rc = check_page(call, q->start_socket_id, q->max_results);
  if (!rc) rc = take_one(&p, call, self, CAW_CHANNELZ_SERVER, q->server_id, "server");
  if (!rc)
    rc = take_page(&p, a, self, CAW_CHANNELZ_SOCKET, q->server_id, q->start_socket_id,
                   q->max_results);
  if (rc) return rc;
  reply->end = p.end;
  reply->socket_ref.items = caw_arena_calloc(a, p.len + 1, sizeof(*reply->socket_ref.items));
  if (!reply->socket_ref.items) return CAW_ENOMEM;
  reply->socket_ref.len = p.len;
  for (size_t i = 0; i < p.len; i++)
    reply->socket_ref.items[i] =
        (Z(socket_ref)){.socket_id = p.items[i].id, .name = p.items[i].name};
  return 0;
}

static int get_channel(caw_call *call, const Z(get_channel_request) * q,
                       Z(get_channel_response) * reply, void *self) {
  page p;
  int rc = take_one(&p, call, self, CAW_CHANNELZ_CHANNEL, q->channel_id, "channel");
  if (rc) return rc;
  reply->channel = caw_arena_calloc(p.arena, 1, sizeof(*reply->channel));
  return reply->channel ? make_channel(reply->channel, p.arena, self, p.items) : CAW_ENOMEM;
}

static int get_subchannel(caw_call *call, const Z(get_subchannel_request) * q,
                          Z(get_subchannel_response) * reply, void *self) {
  page p;
  int rc = take_one(&p, call, self, CAW_CHANNELZ_SUBCHANNEL, q->subchannel_id, "subchannel");
  if (rc) return rc;
  reply->subchannel = caw_arena_calloc(p.arena, 1, sizeof(*reply->subchannel));
  return reply->subchannel ? make_subchannel(reply->subchannel, p.arena, self, p.items)
                           : CAW_ENOMEM;
}

/* A socket of either kind; whether its streams were begun here is what its parent is. */
static int get_socket(caw_call *call, const Z(get_socket_request) * q,
                      Z(get_socket_response) * reply, void *self) {
  page p, parent;
  int rc = begin_page(&p, caw_call_arena(call), 1);
  if (rc) return rc;
  if (!caw_channelz_find(self, CAW_CHANNELZ_LISTENER, q->socket_id, keep, &p))
    rc = take_one(&p, call, self, CAW_CHANNELZ_SOCKET, q->socket_id, "socket");
  if (!rc) rc = begin_page(&parent, p.arena, 1);
  if (rc || p.failed) return rc ? rc : CAW_ENOMEM;
  bool local = caw_channelz_find(self, CAW_CHANNELZ_SUBCHANNEL, p.items->parent, keep, &parent);
  reply->socket = caw_arena_calloc(p.arena, 1, sizeof(*reply->socket));
  return reply->socket ? make_socket(reply->socket, p.arena, p.items, local) : CAW_ENOMEM;
}

/* ---- Public ---- */

static void release(void *user) {
  caw_channelz_unref(user);
}

int caw_channelz_add(caw_server *server, caw_channelz *channelz) {
  static const grpc_channelz_v1_channelz_service functions = {
      .get_top_channels = get_top_channels,
      .get_servers = get_servers,
      .get_server = get_server,
      .get_server_sockets = get_server_sockets,
      .get_channel = get_channel,
      .get_subchannel = get_subchannel,
      .get_socket = get_socket,
  };
  int rc = caw_server_on_free(server, release, channelz);
  if (rc) return rc;
  caw_channelz_ref(channelz);
  return grpc_channelz_v1_channelz_add(server, &functions, channelz);
}
