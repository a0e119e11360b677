// The server of the request benches, one a node: one thread, one system call to read a request and
// one to answer it, so that what is measured is the way to it.
//
//   http_server --name node-1 --port 8080
#include <sys/epoll.h>

#include <array>

#include "common.h"
#include "http_message.h"

namespace {

using namespace bench;

class Server {
 public:
  Server(const std::string& name, int port)
      : answer_(answer_of(name)),
        epoll_(must(epoll_create1(0), "epoll_create1")),
        listener_(listen_on(port, SOCK_NONBLOCK)) {
    watch(listener_);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), int(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[size_t(i)].data.fd;
        if (fd == listener_) {
          accept_all();
        } else {
          serve(fd);
        }
      }
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    must(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK);
      if (fd < 0) return;
      set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
      watch(fd);
    }
  }

  // A request is far smaller than a segment and clients do not pipeline: what can be read is one
  // request, or the end.
  void serve(int fd) {
    std::array<char, 512> request;
    const ssize_t bytes = read(fd, request.data(), request.size());
    if (bytes < 0 && errno == EAGAIN) return;
    const std::string_view text(request.data(), bytes > 0 ? size_t(bytes) : 0);
    const bool known = text == kKeepAlive || text == kOnlyOne;
    if (known && write(fd, answer_.data(), answer_.size()) == ssize_t(answer_.size()) &&
        text == kKeepAlive) {
      return;
    }
    close(fd);
  }

  const std::string answer_;
  const int epoll_;
  const int listener_;
};

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  Server server(arguments.text("--name"), int(arguments.number("--port")));
  std::printf("listening\n");
  std::fflush(stdout);
  server.run();
}
