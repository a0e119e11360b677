// One TCP connection that carries as many bytes as it can for some time, down or up.
//
//   bulk_client --to 192.0.2.100 --port 8081 --from 192.0.2.130 --way down --seconds 2
//
// Prints one JSON object: the bytes of that time. Of an upload it also says whether the server has
// counted what was sent; bytes still on the way when the time begins or ends cancel each other out.
#include "common.h"

namespace {

using namespace bench;

constexpr size_t kPiece = 256 * 1024;
constexpr double kWarmUpSeconds = 0.3;
constexpr int kPatienceSeconds = 10;

int connect_to(const Arguments& arguments) {
  const int fd = must(socket(AF_INET, SOCK_STREAM, 0), "socket");
  const timeval patience{.tv_sec = kPatienceSeconds, .tv_usec = 0};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    must(setsockopt(fd, SOL_SOCKET, option, &patience, sizeof patience), "setsockopt");
  }
  bind_source(fd, address_of(arguments.text("--from"), 0));
  const sockaddr_in to = address_of(arguments.text("--to"), int(arguments.number("--port")));
  must(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), "connect");
  return fd;
}

struct Moved {
  uint64_t bytes = 0;  // in the time measured
  uint64_t total = 0;
};

template <typename Move>
Moved move_for(double seconds, Move move) {
  Moved moved;
  const uint64_t begin = now() + from_seconds(kWarmUpSeconds);
  const uint64_t end = begin + from_seconds(seconds);
  for (uint64_t at = 0; at < end; at = now()) {
    const ssize_t bytes = move();
    if (bytes <= 0) fail("transfer");
    moved.total += uint64_t(bytes);
    if (now() >= begin) moved.bytes += uint64_t(bytes);
  }
  return moved;
}

/** What the server says that it received. */
uint64_t counted_by_server(int fd) {
  must(shutdown(fd, SHUT_WR), "shutdown");
  std::string answer;
  char piece[32];
  for (ssize_t bytes; (bytes = read(fd, piece, sizeof piece)) > 0;) {
    answer.append(piece, size_t(bytes));
  }
  return std::strtoull(answer.c_str(), nullptr, 10);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const double seconds = arguments.number("--seconds");
  const bool down = arguments.text("--way") == "down";
  const int fd = connect_to(arguments);
  must(int(write(fd, down ? "d" : "u", 1)), "write");
  std::vector<char> piece(kPiece, 'x');
  const Moved moved = move_for(seconds, [&] {
    return down ? read(fd, piece.data(), piece.size()) : write(fd, piece.data(), piece.size());
  });
  const bool whole = down || counted_by_server(fd) == moved.total;
  std::printf("{\"bytes\":%lu,\"seconds\":%.9f,\"whole\":%s}\n", moved.bytes, seconds,
              whole ? "true" : "false");
}
