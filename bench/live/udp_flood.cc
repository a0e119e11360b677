// A bounded number of small datagrams at an even pace, of many flows that are the same in every run.
//
//   udp_flood --to 192.0.2.100 --port 9 --from 192.0.2.130 --flows 64 --count 200000
//             --rate 100000 --bytes 18
//
// `--rate 0` sends as fast as it can. Prints one JSON object: how many were sent, and the CPU time
// of this process. On a veth pair that includes the receiver's softirq: it runs where the frame was
// sent.
#include <array>

#include "common.h"

namespace {

using namespace bench;

constexpr int kFirstPort = 20'000;
// So many of one flow in a row: what one system call sends.
constexpr unsigned kRow = 8;

std::vector<int> open_flows(const Arguments& arguments) {
  const sockaddr_in to = address_of(arguments.text("--to"), int(arguments.number("--port")));
  std::vector<int> flows;
  for (int i = 0; i < int(arguments.number("--flows")); ++i) {
    const int fd = must(socket(AF_INET, SOCK_DGRAM, 0), "socket");
    const sockaddr_in from = address_of(arguments.text("--from"), kFirstPort + i);
    must(bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from), "bind");
    must(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to), "connect");
    flows.push_back(fd);
  }
  return flows;
}

void wait_until(uint64_t at) {
  const timespec when{.tv_sec = time_t(at / 1'000'000'000), .tv_nsec = long(at % 1'000'000'000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::vector<int> flows = open_flows(arguments);
  const auto count = uint64_t(arguments.number("--count"));
  const double rate = arguments.number("--rate");
  std::string payload(size_t(arguments.number("--bytes")), 'x');
  iovec piece{.iov_base = payload.data(), .iov_len = payload.size()};
  std::array<mmsghdr, kRow> row{};
  for (mmsghdr& message : row) {
    message.msg_hdr.msg_iov = &piece;
    message.msg_hdr.msg_iovlen = 1;
  }
  const uint64_t cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
  const uint64_t begin = now();
  uint64_t sent = 0;
  uint64_t refused = 0;
  for (size_t turn = 0; sent + refused < count; ++turn) {
    if (rate > 0) wait_until(begin + uint64_t(double(sent + refused) * 1e9 / rate));
    const int done = sendmmsg(flows[turn % flows.size()], row.data(), kRow, 0);
    if (done > 0) sent += uint64_t(done);
    if (done < int(kRow)) refused += kRow - uint64_t(std::max(done, 0));
  }
  std::printf("{\"sent\":%lu,\"refused\":%lu,\"seconds\":%.9f,\"cpuNs\":%lu}\n", sent, refused,
              double(now() - begin) / 1e9, nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}
