/* Call credentials over TLS: they go to any address, unasked for no more than that. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "certs.h"
#include "duo.h"

#include <arpa/inet.h>
#include <stdio.h>

static int tell_token(duo *d, caw_call *call, const caw_str *request, caw_str *reply) {
  (void)d;
  (void)request;
  *reply = caw_metadata_get(caw_call_metadata(call), "authorization");
  return 0;
}

/* The same server, the same name, the same credentials; TLS is no reason to send them to a
 * server that nobody checked. */
static void to_another_machine(void **state) {
  (void)state;
  static const struct {
    bool tls, noverify, insecure;
    int code;
    const char *says; /* in the status's message */
  } cases[] = {
      {false, false, false, CAW_UNAUTHENTICATED, "are not sent in plaintext to "},
      {false, false, true, CAW_OK, ""},
      {true, false, false, CAW_OK, ""},
      {true, true, false, CAW_UNAUTHENTICATED, "whose certificate was not checked"},
      {true, true, true, CAW_OK, ""},
  };
  char host[INET_ADDRSTRLEN], address[64], why[512] = "";
  duo_other_address(host);
  if (!host[0]) skip();
  snprintf(address, sizeof(address), "%s:0", host);
  caw_server_credentials *server = certs_server();
  for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
    duo d = {0};
    heard h = {0};
    caw_channel_credentials *tls;
    const caw_tls_client_options o = {.size = sizeof(o),
                                      .ca = certs_good()->ca.cert,
                                      .server_name = "localhost",
                                      .insecure_noverify = cases[i].noverify};
    assert_int_equal(caw_tls_client_new(&tls, &o, why, sizeof(why)), 0);
    duo_init(&d);
    d.on_message = tell_token;
    if (cases[i].tls) d.channel_options.credentials = tls;
    d.channel_options.insecure_credentials_over_plaintext = cases[i].insecure;
    assert_int_equal(
        caw_call_credentials_bearer(&d.channel_options.call_credentials, caw_str_from("t0ken")), 0);
    duo_move_to(&d, address, cases[i].tls ? server : NULL);
    caw_call_credentials_unref(d.channel_options.call_credentials);
    duo_call(&d, &h, &duo_unary, "x", NULL);
    duo_done(&d, &h);
    if (h.code != cases[i].code || !strstr(h.message, cases[i].says))
      fail_msg("case %zu: %s: %s", i, caw_code_name(h.code), h.message);
    assert_string_equal(h.replies, cases[i].code ? "" : "Bearer t0ken");
    duo_finish(&d);
    caw_channel_credentials_unref(tls);
  }
  caw_server_credentials_unref(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(to_another_machine)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
