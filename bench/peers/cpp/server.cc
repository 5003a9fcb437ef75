// The peer of bench-server with gRPC C++, callback API: the same two services.
// Prints its port; ends on SIGTERM.
#include <grpcpp/grpcpp.h>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "bench.grpc.pb.h"
#include "greeter.grpc.pb.h"

namespace {

class GreeterService final : public greeter::Greeter::CallbackService {
  grpc::ServerUnaryReactor *SayHello(grpc::CallbackServerContext *context,
                                     const greeter::HelloRequest *request,
                                     greeter::HelloReply *reply) override {
    reply->set_message("Hello, " + request->name() + "!");
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class Streamer final : public grpc::ServerWriteReactor<bench::Note> {
 public:
  explicit Streamer(const bench::Order *order) : left_(order->notes()) {
    note_.set_text(std::string(order->size(), 'x'));
    Next();
  }
  void OnWriteDone(bool ok) override {
    if (ok) Next();
    else Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  void Next() {
    if (left_ == 0) {
      Finish(grpc::Status::OK);
      return;
    }
    left_--;
    StartWrite(&note_);
  }
  bench::Note note_;
  uint32_t left_;
};

class Ponger final : public grpc::ServerBidiReactor<bench::Note, bench::Note> {
 public:
  Ponger() { StartRead(&note_); }
  void OnReadDone(bool ok) override {
    if (ok) StartWrite(&note_);
    else Finish(grpc::Status::OK);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&note_);
  }
  void OnDone() override { delete this; }

 private:
  bench::Note note_;
};

class BenchService final : public bench::Bench::CallbackService {
  grpc::ServerUnaryReactor *Echo(grpc::CallbackServerContext *context, const bench::Note *request,
                                 bench::Note *reply) override {
    reply->set_text(request->text());
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<bench::Note> *Stream(grpc::CallbackServerContext *,
                                                const bench::Order *order) override {
    return new Streamer(order);
  }
  grpc::ServerBidiReactor<bench::Note, bench::Note> *PingPong(
      grpc::CallbackServerContext *) override {
    return new Ponger;
  }
};

}  // namespace

static std::string contents(const std::string &path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

/* With TLS by server.pem and server.key of the folder that is given. */
static std::shared_ptr<grpc::ServerCredentials> credentials(int argc, char **argv) {
  if (argc < 2) return grpc::InsecureServerCredentials();
  std::string folder = argv[1];
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back(
      {contents(folder + "/server.key"), contents(folder + "/server.pem")});
  return grpc::SslServerCredentials(options);
}

int main(int argc, char **argv) {
  GreeterService greeter;
  BenchService bench;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", credentials(argc, argv), &port);
  builder.RegisterService(&greeter);
  builder.RegisterService(&bench);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return 1;
  std::signal(SIGTERM, [](int) { _exit(0); });
  std::printf("%d\n", port);
  std::fflush(stdout);
  server->Wait();
}
