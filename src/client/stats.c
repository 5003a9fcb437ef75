/* What a channel's calls add to its metrics (caw/metrics.h), and what of it can be looked at
 * (caw/channelz.h). */
#include "stats/metrics.h"

#include "client/call.h"
#include "io/sys.h"

#include <caw/alloc.h>
#include <stdio.h>

/* The target with its scheme (gRFC A66): one without is a name for DNS. */
static bool has_scheme(const char *target) {
  static const char *const schemes[] = {"dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:"};
  for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
    if (!strncmp(target, schemes[i], strlen(schemes[i]))) return true;
  return false;
}

int client_stats_open(caw_channel *ch, caw_metrics *metrics, const char *target, bool complete) {
  size_t room = strlen(target) + sizeof("dns:///");
  char *full = caw_malloc(room);
  if (!full) return CAW_ENOMEM;
  snprintf(full, room, "%s%s", complete && !has_scheme(target) ? "dns:///" : "", target);
  ch->metrics = metrics_open(metrics, full);
  caw_free(full);
  return ch->metrics ? 0 : CAW_ENOMEM;
}

/* Kept by reference: sockets of the channel come there too. */
void client_stats_show(caw_channel *ch, caw_channelz *channelz, const char *target) {
  const z_birth channel = {.kind = CAW_CHANNELZ_CHANNEL, .name = target, .n_calls = 1};
  ch->channelz = ch->config.channelz = caw_channelz_ref(channelz);
  ch->z = channelz_open(channelz, &channel);
  const z_birth below = {
      .kind = CAW_CHANNELZ_SUBCHANNEL, .parent = ch->z, .name = target, .n_calls = 1};
  ch->subchannel = ch->config.channelz_parent = channelz_open(channelz, &below);
}

void client_stats_close(caw_channel *ch) {
  metrics_close(ch->metrics);
  channelz_close(ch->subchannel);
  channelz_close(ch->z);
  caw_channelz_unref(ch->channelz);
}

void client_stats_state(caw_channel *ch, caw_connectivity state) {
  channelz_state(ch->z, (int)state);
  channelz_state(ch->subchannel, (int)state);
}

void client_stats_call_began(client_call *cc) {
  caw_channel *ch = cc->channel;
  if (!ch->metrics && !ch->channelz) return;
  cc->counts = true;
  cc->began = io_sys_clock();
  if (!ch->metrics) return;
  const char *path = cc->base.method->path;
  cc->row = metrics_row_of(ch->metrics, caw_str_from(*path == '/' ? path + 1 : path));
}

void client_stats_call_stands(client_call *cc) {
  if (cc->counts) channelz_call_began(channelz_calls(cc->channel->z, 0), cc->began);
}

void client_stats_attempt_began(client_call *cc) {
  if (!cc->counts || cc->attempt) return; /* it went on, with its credentials */
  cc->attempt = true;
  cc->attempt_began = io_sys_clock();
  channelz_call_began(channelz_calls(cc->channel->subchannel, 0), cc->attempt_began);
  metrics_began(cc->row);
}

void client_stats_attempt_ended(client_call *cc, int code) {
  if (!cc->attempt || !cc->channel) return;
  cc->attempt = false;
  /* Without a stream all that the program sent is here still. */
  uint64_t sent = cc->base.rpc.state == RPC_IDLE ? 0 : cc->base.sent_bytes;
  channelz_call_ended(channelz_calls(cc->channel->subchannel, 0), code);
  metrics_ended(cc->row, code, io_sys_clock() - cc->attempt_began, sent, cc->base.received_bytes);
}

/* A channel that is freed in a callback takes its table with it, so it counts the end before. */
void client_stats_call_ended(client_call *cc, int code) {
  client_stats_attempt_ended(cc, code);
  if (!cc->counts || !cc->channel) return;
  channelz_call_ended(channelz_calls(cc->channel->z, 0), code);
  metrics_call_ended(cc->row, code, io_sys_clock() - cc->began);
}
