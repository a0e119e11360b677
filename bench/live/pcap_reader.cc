// Reads frames with libpcap, as a C program does: the peer of `flowsieve` and of npm's `cap` in the
// capture bench. Answers each line of standard input with what it has read so far; ends with it.
//
//   pcap_reader --device eth0 --filter 'udp port 9' --buffer 8388608 --immediate 0
//
// Immediate: every frame wakes it. Otherwise the kernel gathers frames for up to 10 ms.
#include <pcap/pcap.h>
#include <poll.h>

#include "common.h"

namespace {

using namespace bench;

pcap_t* open_capture(const Arguments& arguments) {
  char why[PCAP_ERRBUF_SIZE] = "";
  pcap_t* capture = pcap_create(arguments.text("--device").c_str(), why);
  if (capture == nullptr) fail(why);
  pcap_set_snaplen(capture, 2048);
  pcap_set_promisc(capture, 1);
  pcap_set_timeout(capture, 10);
  pcap_set_immediate_mode(capture, int(arguments.number("--immediate")));
  pcap_set_buffer_size(capture, int(arguments.number("--buffer")));
  if (pcap_activate(capture) < 0) fail(pcap_geterr(capture));
  bpf_program program{};
  const std::string filter = arguments.text("--filter");
  if (pcap_compile(capture, &program, filter.c_str(), 1, PCAP_NETMASK_UNKNOWN) < 0 ||
      pcap_setfilter(capture, &program) < 0) {
    fail(pcap_geterr(capture));
  }
  if (pcap_setnonblock(capture, 1, why) < 0) fail(why);
  return capture;
}

// Looks at every frame a little, as whoever captures does.
void count(unsigned char* counts, const pcap_pkthdr* header, const unsigned char* bytes) {
  auto* sums = reinterpret_cast<uint64_t*>(counts);
  ++sums[0];
  sums[1] += header->caplen + bytes[0];
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  pcap_t* capture = open_capture(arguments);
  uint64_t sums[2] = {0, 0};
  std::printf("listening\n");
  std::fflush(stdout);
  pollfd waiting[2] = {{.fd = pcap_get_selectable_fd(capture), .events = POLLIN, .revents = 0},
                       {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
  for (;;) {
    must(poll(waiting, 2, 100), "poll");
    pcap_dispatch(capture, -1, count, reinterpret_cast<unsigned char*>(sums));
    if (waiting[1].revents == 0) continue;
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
    pcap_stat dropped{};
    pcap_stats(capture, &dropped);
    std::printf("{\"packets\":%lu,\"dropped\":%u}\n", sums[0], dropped.ps_drop);
    std::fflush(stdout);
  }
}
