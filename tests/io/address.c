/* Targets and addresses: what is understood, what is refused and with which
 * words, and how addresses are written. */
#include "kit.h"

#include "io/address.h"

#include <netinet/in.h>
#include <string.h>

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define P50 "/2345678901234567890123456789012345678901234567890"

/* `texts`: the addresses, each followed by a blank; or the host. */
static const struct {
  const char *target;
  bool need_port;
  const char *host;
  unsigned port;
  const char *authority, *texts, *server;
} good[] = {
    {"127.0.0.1:50051", true, "", 50051, "127.0.0.1:50051", "ipv4:127.0.0.1:50051 ", ""},
    {"0.0.0.0:0", true, "", 0, "0.0.0.0:0", "ipv4:0.0.0.0:0 ", ""},
    {"127.0.0.1", false, "", 443, "127.0.0.1", "ipv4:127.0.0.1:443 ", ""},
    {"[::1]:50051", true, "", 50051, "[::1]:50051", "ipv6:[::1]:50051 ", ""},
    {"[::]:65535", true, "", 65535, "[::]:65535", "ipv6:[::]:65535 ", ""},
    {"[::1]", false, "", 443, "[::1]", "ipv6:[::1]:443 ", ""},
    {"::1", false, "", 443, "[::1]", "ipv6:[::1]:443 ", ""},
    {"[fe80::1%lo]:5", true, "", 5, "[fe80::1]:5", "ipv6:[fe80::1%1]:5 ", ""},
    {"[fe80::1%1]:5", true, "", 5, "[fe80::1]:5", "ipv6:[fe80::1%1]:5 ", ""},
    {"[2001:DB8::a]:80", true, "", 80, "[2001:DB8::a]:80", "ipv6:[2001:db8::a]:80 ", ""},
    {"[::ffff:10.0.0.1]:80", true, "", 80, "[::ffff:10.0.0.1]:80", "ipv4:10.0.0.1:80 ", ""},
    {"example.com:443", true, "example.com", 443, "example.com:443", "", ""},
    {"example.com", false, "example.com", 443, "example.com", "", ""},
    {"example.com.:1", true, "example.com.", 1, "example.com.:1", "", ""},
    {"localhost:1", true, "localhost", 1, "localhost:1", "", ""},
    {"a_b-c.d:00080", true, "a_b-c.d", 80, "a_b-c.d:80", "", ""},
    {"7up.com:1", true, "7up.com", 1, "7up.com:1", "", ""},
    {"1.2.3.4.in-addr.arpa:1", true, "1.2.3.4.in-addr.arpa", 1, "1.2.3.4.in-addr.arpa:1", "", ""},
    {A63 "." A63 "." A63 ".x:9", true, A63 "." A63 "." A63 ".x", 9, A63 "." A63 "." A63 ".x:9", "",
     ""},
    {"dns:example.com:80", false, "example.com", 80, "example.com:80", "", ""},
    {"dns:///example.com:80", false, "example.com", 80, "example.com:80", "", ""},
    {"dns:///example.com", false, "example.com", 443, "example.com", "", ""},
    {"dns:///127.0.0.1:80", false, "", 80, "127.0.0.1:80", "ipv4:127.0.0.1:80 ", ""},
    {"dns://8.8.8.8/example.com", false, "example.com", 443, "example.com", "", "8.8.8.8:53"},
    {"dns://8.8.8.8:5353/a:1", false, "a", 1, "a:1", "", "8.8.8.8:5353"},
    {"dns://[::1]:5353/a:1", false, "a", 1, "a:1", "", "[::1]:5353"},
    {"dns://[::1]/a:1", false, "a", 1, "a:1", "", "[::1]:53"},
    {"ipv4:1.2.3.4:5", true, "", 5, "1.2.3.4:5", "ipv4:1.2.3.4:5 ", ""},
    {"ipv4:1.2.3.4", false, "", 443, "1.2.3.4", "ipv4:1.2.3.4:443 ", ""},
    {"ipv4:1.2.3.4:5,6.7.8.9:10", true, "", 5, "1.2.3.4:5", "ipv4:1.2.3.4:5 ipv4:6.7.8.9:10 ", ""},
    {"ipv6:[::1]:5,[::2]:6", true, "", 5, "[::1]:5", "ipv6:[::1]:5 ipv6:[::2]:6 ", ""},
    {"ipv6:[::1]", false, "", 443, "[::1]", "ipv6:[::1]:443 ", ""},
    {"ipv6:::1", false, "", 443, "[::1]", "ipv6:[::1]:443 ", ""},
    {"unix:a.sock", true, "", 0, "localhost", "unix:a.sock ", ""},
    {"unix:/run/a.sock", true, "", 0, "localhost", "unix:/run/a.sock ", ""},
    {"unix:///run/a.sock", false, "", 0, "localhost", "unix:/run/a.sock ", ""},
    {"unix:" P50 P50 "/23456", true, "", 0, "localhost", "unix:" P50 P50 "/23456 ", ""},
    {"unix-abstract:a b", true, "", 0, "localhost", "unix-abstract:a?b ", ""},
};

static const struct {
  const char *target;
  bool need_port;
  const char *why;
} bad[] = {
    {"", true, "empty address; write HOST:PORT"},
    {"localhost", true, "missing port; write HOST:PORT"},
    {"127.0.0.1", true, "missing port; write HOST:PORT"},
    {"[::1]", true, "missing port; write HOST:PORT"},
    {"::1", true, "missing port; an IPv6 address is written [ADDRESS]:PORT"},
    {"localhost:", true, "missing port; write HOST:PORT"},
    {"localhost:", false, "missing port; write HOST:PORT"},
    {"localhost:65536", true, "port must be 0 to 65535"},
    {"localhost:99999999999999999999", true, "port must be 0 to 65535"},
    {"localhost:-1", true, "port must be 0 to 65535"},
    {"localhost:+1", true, "port must be 0 to 65535"},
    {"localhost: 1", true, "port must be 0 to 65535"},
    {"localhost:http", true, "port must be 0 to 65535"},
    {":50051", true,
     "missing host; write HOST:PORT, for every interface 0.0.0.0:PORT or [::]:PORT"},
    {"[]:1", true, "missing host; write HOST:PORT, for every interface 0.0.0.0:PORT or [::]:PORT"},
    {"[::1:50051", true, "unclosed [; write [IPV6]:PORT"},
    {"[", false, "unclosed [; write [IPV6]:PORT"},
    {"[::1]50051", true, "only :PORT may follow ]"},
    {"[::1]]:5", true, "only :PORT may follow ]"},
    {"[localhost]:1", true, "not an IPv6 address between [ and ]"},
    {"[127.0.0.1]:1", true, "not an IPv6 address between [ and ]"},
    {"[::g]:1", true, "not an IPv6 address between [ and ]"},
    {"[fe80::1%nosuchif]:1", true, "no network interface has the name after %"},
    {"[fe80::1%4294967297]:1", true, "no network interface has the name after %"},
    {"[fe80::1%]:1", true, "no network interface has the name after %"},
    {"a:b:c", true, "too many ':'; write HOST:PORT"},
    {"127.0.0.1:1:2", true, "too many ':'; write HOST:PORT"},
    {"256.1.1.1:1", true, "not an IPv4 address; write four numbers of 0 to 255"},
    {"127.1:1", true, "not an IPv4 address; write four numbers of 0 to 255"},
    {"1.2.3.4.5:1", true, "not an IPv4 address; write four numbers of 0 to 255"},
    {"a..b:1", true, "host name has an empty part"},
    {".:1", true, "host name has an empty part"},
    {".a:1", true, "host name has an empty part"},
    {"a b:1", true, "host name may have letters, digits, '-', '_' and '.' only"},
    {"a/b:1", true, "host name may have letters, digits, '-', '_' and '.' only"},
    {"user@host:1", true, "host name may have letters, digits, '-', '_' and '.' only"},
    {"m\xc3\xbcller:1", true, "host name may have letters, digits, '-', '_' and '.' only"},
    {A63 "a:1", true, "part of the host name exceeds 63 characters"},
    {A63 "." A63 "." A63 "." A63 ":1", true, "host name is longer than 253 characters"},
    {"http://localhost:1", true,
     "unknown scheme; known are dns, ipv4, ipv6, unix and unix-abstract"},
    {"xds:///a", false, "unknown scheme; known are dns, ipv4, ipv6, unix and unix-abstract"},
    {"dns:", false, "missing host; write HOST:PORT, for every interface 0.0.0.0:PORT or [::]:PORT"},
    {"dns://a:1", false, "write dns:///HOST:PORT, or dns://SERVER/HOST:PORT"},
    {"dns://name/a:1", false, "the name server in dns://SERVER/ must be an IP address"},
    {"dns://8.8.8.8:x/a:1", false, "port must be 0 to 65535"},
    {"dns:/a:1", false, "host name may have letters, digits, '-', '_' and '.' only"},
    {"ipv4:localhost:1", true, "ipv4: is followed by IPv4 addresses: ipv4:127.0.0.1:PORT"},
    {"ipv4:[::1]:1", true, "ipv4: is followed by IPv4 addresses: ipv4:127.0.0.1:PORT"},
    {"ipv4:1.2.3.4:1,", true,
     "missing host; write HOST:PORT, for every interface 0.0.0.0:PORT or [::]:PORT"},
    {"ipv4:1.2.3.4:1,5.6.7.8", true, "missing port; write HOST:PORT"},
    {"ipv6:1.2.3.4:1", true, "ipv6: is followed by IPv6 addresses: ipv6:[::1]:PORT"},
    {"ipv6:[::1]:1,[::2", true, "unclosed [; write [IPV6]:PORT"},
    {"ipv4:1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,1.1.1.1:1,"
     "1.1.1.1:1",
     true, "more than 8 addresses in one target"},
    {"unix:", true, "missing path; write unix:PATH"},
    {"unix://a", true, "unix:// is followed by an absolute path: unix:///PATH"},
    {"unix://", true, "unix:// is followed by an absolute path: unix:///PATH"},
    {"unix:" P50 P50 "/2345678", true, "path of a Unix socket is longer than 107 bytes"},
    {"unix-abstract:", true, "missing name; write unix-abstract:NAME"},
    {"unix-abstract:" P50 P50 "/2345678", true, "path of a Unix socket is longer than 107 bytes"},
};

static void targets(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    io_target t;
    const char *why = NULL;
    char texts[8 * IO_ADDRESS_TEXT] = "", text[IO_ADDRESS_TEXT];
    int rc = io_target_parse(&t, caw_str_from(good[i].target), good[i].need_port, &why);
    if (rc) fail_msg("%s: %s", good[i].target, why);
    assert_string_equal(t.host, good[i].host);
    assert_int_equal(t.port, good[i].port);
    assert_string_equal(t.authority, good[i].authority);
    assert_string_equal(t.server, good[i].server);
    for (unsigned n = 0; n < t.count; n++) {
      size_t len = io_address_format(text, &t.addresses[n]);
      assert_int_equal(len, strlen(text));
      strcat(strcat(texts, text), " ");
    }
    assert_string_equal(texts, good[i].texts);
    if (t.count) assert_int_equal(io_address_port(&t.addresses[0]), good[i].port);
  }
}

static void refusals(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
    io_target t;
    const char *why = NULL;
    int rc = io_target_parse(&t, caw_str_from(bad[i].target), bad[i].need_port, &why);
    if (rc != CAW_EADDR) fail_msg("%s: %d, not CAW_EADDR", bad[i].target, rc);
    if (strcmp(why, bad[i].why) != 0) fail_msg("%s: %s, not %s", bad[i].target, why, bad[i].why);
  }
}

static void not_a_c_string(void **state) {
  static const char text[] = {'u', 'n', 'i', 'x', ':', 'a', 0, 'b'};
  io_target t;
  const char *why;
  (void)state;
  assert_int_equal(io_target_parse(&t, caw_str_of(text, sizeof(text)), true, &why), CAW_EADDR);
  assert_string_equal(why, "address contains a NUL byte");
  /* Not a byte beyond the length is looked at. */
  assert_int_equal(io_target_parse(&t, caw_str_of("1.2.3.4:567", 9), true, &why), 0);
  assert_int_equal(t.port, 5);
}

/* Every prefix of every target, in memory of just its size, for the sanitizer. */
static void prefixes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
    for (size_t n = 0; n <= strlen(good[i].target); n++) {
      io_target t;
      const char *why = NULL;
      char *copy = test_malloc(n ? n : 1);
      memcpy(copy, good[i].target, n);
      int rc = io_target_parse(&t, caw_str_of(copy, n), n % 2, &why);
      assert_true(rc == 0 || (rc == CAW_EADDR && why && *why));
      assert_true(rc != 0 || t.count || *t.host);
      test_free(copy);
    }
  }
}

static void odd_addresses(void **state) {
  char text[IO_ADDRESS_TEXT];
  io_address a;
  (void)state;
  memset(&a, 0, sizeof(a));
  assert_int_equal(io_address_format(text, &a), 8);
  assert_string_equal(text, "unknown:");
  a.u.any.sa_family = AF_UNIX;
  a.len = sizeof(a.u.any.sa_family); /* an unnamed peer */
  assert_int_equal(io_address_format(text, &a), 5);
  assert_string_equal(text, "unix:");
  a.len = sizeof(a.u.local); /* a path that fills its room has no NUL */
  memset(a.u.local.sun_path, 'x', sizeof(a.u.local.sun_path));
  assert_int_equal(io_address_format(text, &a), 5 + sizeof(a.u.local.sun_path));
  assert_int_equal(io_address_port(&a), 0);
  a.u.local.sun_path[0] = 0;
  assert_int_equal(io_address_format(text, &a), 14 + sizeof(a.u.local.sun_path) - 1);
  a = io_address_ip("\x7f\0\0\1", 4, 80);
  a.len = 3; /* cut short */
  assert_int_equal(io_address_format(text, &a), 8);
}

static void ports(void **state) {
  static const char *const targets_of[] = {"1.2.3.4:5", "[::1]:5", "unix:a"};
  (void)state;
  for (int i = 0; i < 3; i++) {
    io_target t;
    const char *why;
    assert_int_equal(io_target_parse(&t, caw_str_from(targets_of[i]), true, &why), 0);
    io_address_set_port(&t.addresses[0], 65535);
    assert_int_equal(io_address_port(&t.addresses[0]), i < 2 ? 65535 : 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(targets),  cmocka_unit_test(refusals),      cmocka_unit_test(not_a_c_string),
      cmocka_unit_test(prefixes), cmocka_unit_test(odd_addresses), cmocka_unit_test(ports),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
