// The peer of chatd's fan-out with gRPC C++, callback API: Subscribe and Send of
// chat.v1.ChatService and nothing else. One room, no accounts, nothing kept. Each message is
// encoded once, into a ByteBuffer that all streams share. Prints its port; ends on SIGTERM.
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/byte_buffer.h>

#include <csignal>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "chat/v1/chat.grpc.pb.h"

namespace {

using grpc::ByteBuffer;

ByteBuffer Encode(const google::protobuf::MessageLite &message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return ByteBuffer(&slice, 1);
}

class Listener;

struct Room {
  std::mutex lock;
  std::set<Listener *> listeners;
  int64_t last = 0;
};

class Listener final : public grpc::ServerWriteReactor<ByteBuffer> {
 public:
  explicit Listener(Room *room) : room_(room) {
    chat::v1::Event event;
    event.mutable_caught_up()->set_room_id(1);
    const std::lock_guard<std::mutex> guard(room_->lock);
    room_->listeners.insert(this);
    Put(Encode(event));
  }
  // Under the room's lock, as all that touches the queue.
  void Put(const ByteBuffer &bytes) {
    queue_.push_back(bytes);
    if (queue_.size() == 1) StartWrite(&queue_.front());
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> guard(room_->lock);
    queue_.pop_front();
    if (!ok) queue_.clear();
    else if (!queue_.empty()) StartWrite(&queue_.front());
  }
  void OnCancel() override {
    {
      const std::lock_guard<std::mutex> guard(room_->lock);
      room_->listeners.erase(this);
    }
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  Room *room_;
  std::deque<ByteBuffer> queue_;
};

using Base = chat::v1::ChatService::WithRawCallbackMethod_Subscribe<
    chat::v1::ChatService::WithCallbackMethod_Send<chat::v1::ChatService::Service>>;

class ChatService final : public Base {
 public:
  grpc::ServerWriteReactor<ByteBuffer> *Subscribe(grpc::CallbackServerContext *,
                                                  const ByteBuffer *) override {
    return new Listener(&room_);
  }
  grpc::ServerUnaryReactor *Send(grpc::CallbackServerContext *context,
                                 const chat::v1::SendRequest *request,
                                 chat::v1::SendResponse *response) override {
    chat::v1::Event event;
    chat::v1::Message *message = event.mutable_message();
    message->set_room_id(request->room_id());
    message->set_author_id(1);
    message->set_text(request->text());
    message->set_client_message_id(request->client_message_id());
    {
      const std::lock_guard<std::mutex> guard(room_.lock);
      message->set_number(++room_.last);
      const ByteBuffer bytes = Encode(event);
      for (Listener *listener : room_.listeners) listener->Put(bytes);
    }
    response->set_number(message->number());
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  Room room_;
};

}  // namespace

int main() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  ChatService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return 1;
  std::printf("listening on 127.0.0.1:%d\n", port);
  std::fflush(stdout);
  int signal;
  sigwait(&set, &signal);
  server->Shutdown(std::chrono::system_clock::now());
}
