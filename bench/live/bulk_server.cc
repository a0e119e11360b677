// The server of the bulk benches: a thread for each connection. The client's first byte says which
// way the bytes go: `d` and it writes until the client has gone, `u` and it reads to the end and
// answers how many bytes came.
//
//   bulk_server --port 8081
#include <csignal>
#include <thread>

#include "common.h"

namespace {

using namespace bench;

constexpr size_t kPiece = 256 * 1024;

void send_all(int fd) {
  const std::vector<char> piece(kPiece, 'x');
  while (write(fd, piece.data(), piece.size()) > 0) {
  }
}

void receive_all(int fd) {
  std::vector<char> piece(kPiece);
  uint64_t total = 0;
  for (ssize_t bytes; (bytes = read(fd, piece.data(), piece.size())) > 0;) total += uint64_t(bytes);
  const std::string answer = std::to_string(total);
  if (write(fd, answer.data(), answer.size()) < 0) fail("write");
}

void serve(int fd) {
  char way = 0;
  if (read(fd, &way, 1) == 1) {
    if (way == 'd') send_all(fd);
    if (way == 'u') receive_all(fd);
  }
  close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const bench::Arguments arguments(argc, argv);
  const int listener = listen_on(int(arguments.number("--port")), 0);
  std::printf("listening\n");
  std::fflush(stdout);
  for (;;) std::thread(serve, must(accept(listener, nullptr, nullptr), "accept")).detach();
}
