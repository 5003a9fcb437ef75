// The TestService with gRPC's C++ library, and a client with the cases of gRPC's
// interoperability tests, for our programs to be tested with. It is the peer
// that sees whether a message was compressed.
//
//   peer-cpp server [AGE]     says where it listens; ends when it is killed. After
//                             AGE ms it asks each connection to go (GOAWAY)
//   peer-cpp client PORT CASE
//
// With CAW_TEST_TLS=1 both are over TLS, with the certificates in CAW_GRPC_TESTDATA.
#include <grpc/testing/test.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// Exported by the core library and declared in none of its installed headers.
uint32_t grpc_call_test_only_get_message_flags(grpc_call *call);

using namespace grpc::testing;
using grpc::ClientContext;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;
using grpc::WriteOptions;

static const char kInitial[] = "x-grpc-test-echo-initial";
static const char kInitialValue[] = "test_initial_metadata_value";
static const char kTrailing[] = "x-grpc-test-echo-trailing-bin";
static const std::vector<int> kRequests = {27182, 8, 1828, 45904};
static const std::vector<int> kReplies = {31415, 9, 2653, 58979};

// Was the last message that the call received compressed? The two flags are
// those of the core's filters, before and after they inflate.
template <class Context> static bool compressed(Context &context) {
  return grpc_call_test_only_get_message_flags(context.c_call()) & 0xc0000000u;
}

static std::string zeros(size_t size) {
  return std::string(size, '\0');
}

// ---- Server ----

class Service final : public TestService::Service {
  static void echo(ServerContext *context) {
    const auto &metadata = context->client_metadata();
    auto initial = metadata.find(kInitial), trailing = metadata.find(kTrailing);
    if (initial != metadata.end())
      context->AddInitialMetadata(kInitial, {initial->second.data(), initial->second.size()});
    if (trailing != metadata.end())
      context->AddTrailingMetadata(kTrailing, {trailing->second.data(), trailing->second.size()});
  }

  template <class Request> static Status status(const Request &request) {
    const EchoStatus &s = request.response_status();
    return Status(static_cast<StatusCode>(s.code()), s.message());
  }

  template <class Request> static Status expect(ServerContext *context, const Request &request) {
    if (!request.has_expect_compressed() ||
        request.expect_compressed().value() == compressed(*context))
      return Status::OK;
    return Status(StatusCode::INVALID_ARGUMENT, "compressed, or not, against expectation");
  }

  template <class Stream>
  static Status answer(const StreamingOutputCallRequest &request, Stream *stream) {
    if (request.has_response_status()) return status(request);
    for (const ResponseParameters &p : request.response_parameters()) {
      StreamingOutputCallResponse reply;
      WriteOptions options;
      reply.mutable_payload()->set_body(zeros(p.size()));
      if (!p.compressed().value()) options.set_no_compression();
      stream->Write(reply, options);
    }
    return Status::OK;
  }

  Status EmptyCall(ServerContext *, const Empty *, Empty *) override {
    return Status::OK;
  }

  Status UnaryCall(ServerContext *context, const SimpleRequest *request,
                   SimpleResponse *reply) override {
    echo(context);
    Status expected = expect(context, *request);
    if (!expected.ok()) return expected;
    if (request->has_response_status()) return status(*request);
    if (request->response_compressed().value())
      context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    reply->mutable_payload()->set_body(zeros(request->response_size()));
    return Status::OK;
  }

  Status StreamingInputCall(ServerContext *context,
                            grpc::ServerReader<StreamingInputCallRequest> *stream,
                            StreamingInputCallResponse *reply) override {
    StreamingInputCallRequest request;
    int size = 0;
    while (stream->Read(&request)) {
      Status expected = expect(context, request);
      if (!expected.ok()) return expected;
      size += static_cast<int>(request.payload().body().size());
    }
    reply->set_aggregated_payload_size(size);
    return Status::OK;
  }

  Status StreamingOutputCall(ServerContext *context, const StreamingOutputCallRequest *request,
                             grpc::ServerWriter<StreamingOutputCallResponse> *stream) override {
    context->set_compression_algorithm(GRPC_COMPRESS_DEFLATE);
    return answer(*request, stream);
  }

  Status FullDuplexCall(ServerContext *context,
                        grpc::ServerReaderWriter<StreamingOutputCallResponse,
                                                 StreamingOutputCallRequest> *stream) override {
    StreamingOutputCallRequest request;
    echo(context);
    while (stream->Read(&request)) {
      Status s = answer(request, stream);
      if (!s.ok()) return s;
    }
    return Status::OK;
  }
};

// ---- TLS ----

static bool over_tls() {
  const char *text = getenv("CAW_TEST_TLS");
  return text && text[0] == '1';
}

static std::string testdata(const std::string &name) {
  std::ifstream file(std::string(getenv("CAW_GRPC_TESTDATA")) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

static std::shared_ptr<grpc::ServerCredentials> server_credentials() {
  if (!over_tls()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({testdata("server1.key"), testdata("server1.pem")});
  return grpc::SslServerCredentials(options);
}

static std::shared_ptr<grpc::ChannelCredentials> channel_credentials(grpc::ChannelArguments &a) {
  if (!over_tls()) return grpc::InsecureChannelCredentials();
  a.SetSslTargetNameOverride("foo.test.google.fr");
  return grpc::SslCredentials({testdata("ca.pem"), "", ""});
}

static int serve(const char *age) {
  Service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", server_credentials(), &port);
  builder.RegisterService(&service);
  if (age) builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, atoi(age));
  auto server = builder.BuildAndStart();
  if (!server) return 1;
  printf("listening on 127.0.0.1:%d\n", port);
  fflush(stdout);
  server->Wait();
  return 0;
}

// ---- Client ----

static void check(bool good, const std::string &what) {
  if (!good) throw std::runtime_error(what);
}

static void ends(const Status &status, StatusCode code, const std::string &text = "") {
  check(status.error_code() == code, "ended with " + std::to_string(status.error_code()) + ": " +
                                         status.error_message() + ", not with " +
                                         std::to_string(code));
  check(text.empty() || status.error_message() == text, "text: " + status.error_message());
}

class Client {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<TestService::Stub> stub;

  static SimpleRequest large() {
    SimpleRequest request;
    request.set_response_size(314159);
    request.mutable_payload()->set_body(zeros(271828));
    return request;
  }

  // Makes the large call; `compress` the request.
  Status call_large(ClientContext &context, const SimpleRequest &request, bool compress = false) {
    SimpleResponse reply;
    if (compress) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    Status status = stub->UnaryCall(&context, request, &reply);
    if (status.ok()) check(reply.payload().body() == zeros(314159), "the reply's body");
    return status;
  }

  static StreamingOutputCallRequest order(int request, int reply) {
    StreamingOutputCallRequest r;
    r.mutable_payload()->set_body(zeros(request));
    if (reply >= 0) r.add_response_parameters()->set_size(reply);
    return r;
  }

  template <class Stream> static void read(Stream &stream, int size) {
    StreamingOutputCallResponse reply;
    check(stream.Read(&reply), "a reply is missing");
    check(reply.payload().body() == zeros(size), "a reply's body");
  }

  template <class Stream> static void no_more(Stream &stream) {
    StreamingOutputCallResponse reply;
    check(!stream.Read(&reply), "there is a reply too many");
  }

  void echo_status(const std::string &text) {
    ClientContext first, second;
    SimpleRequest request;
    SimpleResponse reply;
    request.mutable_response_status()->set_code(2);
    request.mutable_response_status()->set_message(text);
    ends(stub->UnaryCall(&first, request, &reply), StatusCode::UNKNOWN, text);
    StreamingOutputCallRequest order;
    *order.mutable_response_status() = request.response_status();
    auto stream = stub->FullDuplexCall(&second);
    stream->Write(order);
    stream->WritesDone();
    no_more(*stream);
    ends(stream->Finish(), StatusCode::UNKNOWN, text);
  }

  static void add_metadata(ClientContext &context) {
    context.AddMetadata(kInitial, kInitialValue);
    context.AddMetadata(kTrailing, "\xab\xab\xab");
  }

  static void check_metadata(ClientContext &context) {
    const auto &initial = context.GetServerInitialMetadata();
    const auto &trailing = context.GetServerTrailingMetadata();
    auto i = initial.find(kInitial);
    auto t = trailing.find(kTrailing);
    check(i != initial.end() && i->second == kInitialValue, "the initial metadata");
    check(t != trailing.end() && t->second == "\xab\xab\xab", "the trailing metadata");
  }

public:
  explicit Client(const std::string &port) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    auto credentials = channel_credentials(arguments);
    channel = grpc::CreateCustomChannel("127.0.0.1:" + port, credentials, arguments);
    stub = TestService::NewStub(channel);
  }

  void empty_unary() {
    ClientContext context;
    Empty request, reply;
    ends(stub->EmptyCall(&context, request, &reply), StatusCode::OK);
    check(reply.ByteSizeLong() == 0, "the reply is not empty");
  }

  void large_unary() {
    ClientContext context;
    ends(call_large(context, large()), StatusCode::OK);
  }

  void client_compressed_unary() {
    ClientContext probe, first, second;
    SimpleRequest request = large();
    request.mutable_expect_compressed()->set_value(true);
    ends(call_large(probe, request), StatusCode::INVALID_ARGUMENT);
    ends(call_large(first, request, true), StatusCode::OK);
    request.mutable_expect_compressed()->set_value(false);
    ends(call_large(second, request), StatusCode::OK);
  }

  void server_compressed_unary() {
    for (bool wanted : {true, false}) {
      ClientContext context;
      SimpleRequest request = large();
      request.mutable_response_compressed()->set_value(wanted);
      ends(call_large(context, request), StatusCode::OK);
      check(compressed(context) == wanted, "compressed, or not, against expectation");
    }
  }

  void client_streaming() {
    ClientContext context;
    StreamingInputCallResponse reply;
    auto stream = stub->StreamingInputCall(&context, &reply);
    for (int size : kRequests) {
      StreamingInputCallRequest request;
      request.mutable_payload()->set_body(zeros(size));
      check(stream->Write(request), "a request was not taken");
    }
    stream->WritesDone();
    ends(stream->Finish(), StatusCode::OK);
    check(reply.aggregated_payload_size() == 74922, "the sum of sizes");
  }

  void client_compressed_streaming() {
    StreamingInputCallRequest request;
    StreamingInputCallResponse reply;
    request.mutable_payload()->set_body(zeros(27182));
    request.mutable_expect_compressed()->set_value(true);
    {
      ClientContext context;
      auto stream = stub->StreamingInputCall(&context, &reply);
      stream->Write(request);
      stream->WritesDone();
      ends(stream->Finish(), StatusCode::INVALID_ARGUMENT);
    }
    ClientContext context;
    context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    auto stream = stub->StreamingInputCall(&context, &reply);
    check(stream->Write(request), "the compressed request");
    request.mutable_payload()->set_body(zeros(45904));
    request.mutable_expect_compressed()->set_value(false);
    check(stream->Write(request, WriteOptions().set_no_compression()), "the uncompressed request");
    stream->WritesDone();
    ends(stream->Finish(), StatusCode::OK);
    check(reply.aggregated_payload_size() == 73086, "the sum of sizes");
  }

  void server_streaming() {
    ClientContext context;
    StreamingOutputCallRequest request;
    for (int size : kReplies) request.add_response_parameters()->set_size(size);
    auto stream = stub->StreamingOutputCall(&context, request);
    for (int size : kReplies) read(*stream, size);
    no_more(*stream);
    ends(stream->Finish(), StatusCode::OK);
  }

  void server_compressed_streaming() {
    ClientContext context;
    StreamingOutputCallRequest request;
    for (int size : {31415, 92653}) {
      ResponseParameters *p = request.add_response_parameters();
      p->set_size(size);
      p->mutable_compressed()->set_value(size == 31415);
    }
    auto stream = stub->StreamingOutputCall(&context, request);
    read(*stream, 31415);
    check(compressed(context), "the first reply is not compressed");
    read(*stream, 92653);
    check(!compressed(context), "the second reply is compressed");
    no_more(*stream);
    ends(stream->Finish(), StatusCode::OK);
  }

  void ping_pong() {
    ClientContext context;
    auto stream = stub->FullDuplexCall(&context);
    for (size_t i = 0; i < kRequests.size(); i++) {
      check(stream->Write(order(kRequests[i], kReplies[i])), "a request was not taken");
      read(*stream, kReplies[i]);
    }
    stream->WritesDone();
    no_more(*stream);
    ends(stream->Finish(), StatusCode::OK);
  }

  void empty_stream() {
    ClientContext context;
    auto stream = stub->FullDuplexCall(&context);
    stream->WritesDone();
    no_more(*stream);
    ends(stream->Finish(), StatusCode::OK);
  }

  void custom_metadata() {
    ClientContext first, second;
    add_metadata(first);
    ends(call_large(first, large()), StatusCode::OK);
    check_metadata(first);
    add_metadata(second);
    auto stream = stub->FullDuplexCall(&second);
    stream->Write(order(271828, 314159));
    stream->WritesDone();
    read(*stream, 314159);
    no_more(*stream);
    ends(stream->Finish(), StatusCode::OK);
    check_metadata(second);
  }

  void status_code_and_message() {
    echo_status("test status message");
  }

  void special_status_message() {
    echo_status("\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP "
                "\xf0\x9f\x98\x88\t\n");
  }

  void unimplemented_method() {
    ClientContext context;
    Empty request, reply;
    ends(stub->UnimplementedCall(&context, request, &reply), StatusCode::UNIMPLEMENTED);
  }

  void unimplemented_service() {
    ClientContext context;
    Empty request, reply;
    auto other = UnimplementedService::NewStub(channel);
    ends(other->UnimplementedCall(&context, request, &reply), StatusCode::UNIMPLEMENTED);
  }

  void cancel_after_begin() {
    ClientContext context;
    StreamingInputCallResponse reply;
    auto stream = stub->StreamingInputCall(&context, &reply);
    context.TryCancel();
    ends(stream->Finish(), StatusCode::CANCELLED);
  }

  void cancel_after_first_response() {
    ClientContext context;
    auto stream = stub->FullDuplexCall(&context);
    check(stream->Write(order(27182, 31415)), "the request was not taken");
    read(*stream, 31415);
    context.TryCancel();
    ends(stream->Finish(), StatusCode::CANCELLED);
  }

  void timeout_on_sleeping_server() {
    ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(1));
    auto stream = stub->FullDuplexCall(&context);
    stream->Write(order(27182, -1));
    no_more(*stream);
    ends(stream->Finish(), StatusCode::DEADLINE_EXCEEDED);
  }

  // 1000 in gRPC's description; three times what our server takes at once.
  void concurrent_large_unary() {
    struct Call {
      ClientContext context;
      SimpleResponse reply;
      std::promise<Status> status;
    };
    const SimpleRequest request = large();
    std::vector<Call> calls(300);
    for (Call &c : calls)
      stub->async()->UnaryCall(&c.context, &request, &c.reply,
                               [&c](Status status) { c.status.set_value(status); });
    for (Call &c : calls) {
      ends(c.status.get_future().get(), StatusCode::OK);
      check(c.reply.payload().body() == zeros(314159), "the reply's body");
    }
  }

  // Not of gRPC's list: 4 MiB, the limit, both ways; and a byte more.
  void largest() {
    const int limit = 4 * 1024 * 1024;
    for (int more : {0, 1}) {
      ClientContext context;
      SimpleRequest request;
      SimpleResponse reply;
      request.set_response_size(limit);
      request.mutable_payload()->set_body(zeros(limit - 15 + more));
      check(request.ByteSizeLong() == static_cast<size_t>(limit + more), "the request's size");
      ends(stub->UnaryCall(&context, request, &reply),
           more ? StatusCode::RESOURCE_EXHAUSTED : StatusCode::OK);
      check(more || reply.payload().body().size() == static_cast<size_t>(limit), "the reply");
    }
  }
};

#define CASE(name)                                                                                 \
  { #name, &Client::name }

static const std::map<std::string, void (Client::*)()> kCases = {
    CASE(empty_unary),
    CASE(large_unary),
    CASE(client_compressed_unary),
    CASE(server_compressed_unary),
    CASE(client_streaming),
    CASE(client_compressed_streaming),
    CASE(server_streaming),
    CASE(server_compressed_streaming),
    CASE(ping_pong),
    CASE(empty_stream),
    CASE(custom_metadata),
    CASE(status_code_and_message),
    CASE(special_status_message),
    CASE(unimplemented_method),
    CASE(unimplemented_service),
    CASE(cancel_after_begin),
    CASE(cancel_after_first_response),
    CASE(timeout_on_sleeping_server),
    CASE(concurrent_large_unary),
    CASE(largest),
};

int main(int argc, char **argv) {
  std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "server" && argc <= 3) return serve(argc == 3 ? argv[2] : nullptr);
  if (mode != "client" || argc != 4 || !kCases.count(argv[3])) {
    fprintf(stderr, "usage: peer-cpp server [AGE] | peer-cpp client PORT CASE\n");
    return 2;
  }
  try {
    Client client(argv[2]);
    (client.*kCases.at(argv[3]))();
  } catch (const std::exception &e) {
    fprintf(stderr, "peer-cpp: %s: %s\n", argv[3], e.what());
    return 1;
  }
  printf("%s: passed\n", argv[3]);
  return 0;
}
