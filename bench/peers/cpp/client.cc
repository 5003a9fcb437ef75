// The peer of bench-client with gRPC C++, callback API: unary calls, so many at
// a time. Prints its CPU time in microseconds a call.
//
//   bench-cpp-client PORT CALLS OUTSTANDING
#include <grpcpp/grpcpp.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>

#include "greeter.grpc.pb.h"

namespace {

std::atomic<long> left;
std::atomic<long> open_calls;
std::mutex mutex;
std::condition_variable over;

struct Caller {
  greeter::Greeter::Stub *stub = nullptr;
  greeter::HelloRequest request;
  greeter::HelloReply reply;
  std::unique_ptr<grpc::ClientContext> context;

  void Start() {
    context = std::make_unique<grpc::ClientContext>();
    stub->async()->SayHello(context.get(), &request, &reply,
                            [this](grpc::Status status) { Done(status); });
  }
  void Done(const grpc::Status &status) {
    if (!status.ok()) {
      std::fprintf(stderr, "%s\n", status.error_message().c_str());
      std::exit(1);
    }
    if (left.fetch_sub(1) > 0) {
      Start();
    } else if (open_calls.fetch_sub(1) == 1) {
      std::lock_guard<std::mutex> lock(mutex);
      over.notify_one();
    }
  }
};

double CpuSeconds() {
  rusage use;
  getrusage(RUSAGE_SELF, &use);
  return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
         (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

void Run(std::vector<Caller> &callers, long calls) {
  open_calls = static_cast<long>(callers.size());
  left = calls - open_calls;
  for (Caller &c : callers) c.Start();
  std::unique_lock<std::mutex> lock(mutex);
  over.wait(lock, [] { return open_calls == 0; });
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  auto channel = grpc::CreateChannel(std::string("127.0.0.1:") + argv[1],
                                     grpc::InsecureChannelCredentials());
  auto stub = greeter::Greeter::NewStub(channel);
  long calls = std::atol(argv[2]);
  std::vector<Caller> callers(std::atol(argv[3]));
  for (Caller &c : callers) {
    c.stub = stub.get();
    c.request.set_name("World");
  }
  Run(callers, calls / 10);  // connects and warms up
  double before = CpuSeconds();
  Run(callers, calls);
  std::printf("{\"cpu_us\": %.3f}\n", (CpuSeconds() - before) * 1e6 / calls);
}
