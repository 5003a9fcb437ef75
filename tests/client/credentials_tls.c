/* Call credentials over TLS: they go to any address, unasked for no more than that. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"
#include "duo.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>

/* An address of this machine that is not loopback's, or "". */
static void other_address(char out[INET_ADDRSTRLEN]) {
  struct ifaddrs *all = NULL;
  out[0] = '\0';
  assert_int_equal(getifaddrs(&all), 0);
  for (struct ifaddrs *a = all; a && !out[0]; a = a->ifa_next) {
    if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET) continue;
    struct sockaddr_in in;
    memcpy(&in, a->ifa_addr, sizeof(in));
    if (ntohl(in.sin_addr.s_addr) >> 24 != 127)
      inet_ntop(AF_INET, &in.sin_addr, out, INET_ADDRSTRLEN);
  }
  freeifaddrs(all);
}

static int tell_token(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  *reply = caw_metadata_get(caw_call_metadata(call), "authorization");
  return 0;
}

/* The one server listens with TLS and without; the same name, the same credentials. */
static void to_another_machine(void **state) {
  (void)state;
  char host[INET_ADDRSTRLEN], address[64], why[512] = "";
  const char *reason = "";
  other_address(host);
  if (!host[0]) skip();
  snprintf(address, sizeof(address), "%s:0", host);
  caw_channel_credentials *tls;
  caw_server_credentials *server = certs_server();
  const caw_tls_client_options o = {.size = sizeof(o),
                                    .ca = certs_good()->ca.cert,
                                    .server_name = "localhost"};
  assert_int_equal(caw_tls_client_new(&tls, &o, why, sizeof(why)), 0);
  for (int with_tls = 0; with_tls < 2; with_tls++) {
    duo d = {0};
    heard h = {0};
    duo_init(&d);
    d.on_message = tell_token;
    assert_int_equal(with_tls ? caw_server_listen_tls(d.server, address, server)
                              : caw_server_listen(d.server, address),
                     0);
    caw_channel_free(d.channel);
    caw_channel_options options = {.size = sizeof(options), .loop = d.loop};
    options.credentials = with_tls ? tls : NULL;
    assert_int_equal(caw_call_credentials_bearer(&options.call_credentials, caw_str_from("t0ken")),
                     0);
    assert_int_equal(
        caw_channel_new(&d.channel, caw_server_address(d.server, 1), &options, &reason), 0);
    caw_call_credentials_unref(options.call_credentials);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    assert_string_equal(h.replies, with_tls ? "Bearer t0ken" : "");
    assert_int_equal(h.code, with_tls ? 0 : CAW_UNAUTHENTICATED);
    duo_finish(&d);
  }
  caw_channel_credentials_unref(tls);
  caw_server_credentials_unref(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(to_another_machine)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
