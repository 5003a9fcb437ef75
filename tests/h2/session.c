/* Calls between a client's and a server's session, in any chunking. */
#include "rig.h"

static const unsigned chunkings[] = {0, 1, 2, 3, 4, 5};

#define EACH_CHUNKING(r)                                                                           \
  for (size_t i_ = 0; i_ < sizeof(chunkings) / sizeof(chunkings[0]); i_++)                         \
    for (bool once_ = (rig_start(r, NULL, NULL), (r)->chunk = chunkings[i_], true); once_;         \
         rig_stop(r), once_ = false)

#define REQUEST_LOG                                                                                \
  "field 1 :method=POST\nfield 1 :scheme=http\nfield 1 :path=/s/m\nfield 1 :authority=test\n"      \
  "field 1 te=trailers\n"

static void test_unary(void **state) {
  (void)state;
  static rig r;
  EACH_CHUNKING(&r) {
    rig_stream *c = rig_request(&r.client, "/s/m");
    assert_int_equal(c->id, 1);
    assert_int_equal(rig_send(c, 100), 0);
    assert_int_equal(rig_finish(c, NULL), 0);
    rig_pump(&r);
    rig_expect(&r.server, "settings\nstream 1\n" REQUEST_LOG "headers 1\ndata 1 100\nend 1\n");
    rig_expect(&r.client, "settings\n");
    rig_stream *s = &r.server.streams[0];
    assert_int_equal(rig_respond(s), 0);
    assert_int_equal(rig_send(s, 7), 0);
    assert_int_equal(rig_send(s, 5000), 0);
    assert_int_equal(rig_finish(s, "0"), 0);
    rig_pump(&r);
    rig_expect(&r.server, "close 1 NO_ERROR\n");
    rig_expect(&r.client, "field 1 :status=200\nfield 1 content-type=application/grpc\n"
                          "headers 1\ndata 1 5007\nfield 1 grpc-status=0\nheaders 1 end\nend 1\n"
                          "close 1 NO_ERROR\n");
    assert_int_equal(s->sent, 5007);
    assert_int_equal(c->sent, 100);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
