#include "wire/watch.h"

#include <sys/socket.h>

#include "wire/fanout.h"
#include "wire/ring_program.h"

namespace flowsieve {

namespace {

constexpr uint32_t kSlotBytes = 512;  // the kernel's 80, then the snap length
constexpr uint32_t kSlots = 2048;
constexpr int kAllInterfaces = 0;

}  // namespace

Result<std::unique_ptr<WatchSource>> WatchSource::open_one() {
  Result<int> opened = open_ring_socket(SOCK_DGRAM);
  if (!opened) return opened.error();
  Descriptor socket{opened.value()};
  Result<RingSlots> slots = RingSlots::create(socket.get(), kSlotBytes, kSlots);
  if (!slots) return slots.error();
  if (const Status bound = bind_ring_socket(socket.get(), kAllInterfaces); !bound) {
    return bound.error();
  }
  return std::unique_ptr<WatchSource>(new WatchSource(std::move(socket), std::move(slots.value())));
}

Result<std::vector<std::unique_ptr<WatchSource>>> WatchSource::open(
    const std::vector<Address>& addresses, size_t workers) {
  if (addresses.empty() || addresses.size() > kFilterAddressesMax) {
    return Error{ErrorCode::kArgument,
                 "Expected 1 to 256 cluster addresses to watch but received " +
                     std::to_string(addresses.size()) + "."};
  }
  std::vector<std::unique_ptr<WatchSource>> sources;
  std::vector<int> sockets;
  for (size_t i = 0; i < workers; ++i) {
    Result<std::unique_ptr<WatchSource>> source = open_one();
    if (!source) return source.error();
    sockets.push_back(source.value()->socket_.get());
    sources.push_back(std::move(source.value()));
  }
  if (workers > 1) {
    if (const Status joined = join_fanout(sockets, true); !joined) return joined.error();
  }
  // Only now are the filters opened: a bound socket that has not yet joined would see everything.
  const Program filter = departure_filter(addresses, kSnapBytes);
  for (const int socket : sockets) {
    if (const Status attached = attach_filter(socket, filter); !attached) return attached.error();
  }
  return sources;
}

size_t WatchSource::receive(std::span<Frame> burst) {
  slots_.give_back();
  size_t count = 0;
  while (count < burst.size()) {
    const tpacket2_hdr* slot = slots_.take();
    if (slot == nullptr) break;
    Frame& frame = burst[count++];
    frame = Frame{};
    frame.bytes = RingSlots::packet(slot);
    frame.wire_bytes = slot->tp_len;
    frame.link = LinkType::kRawIp;
    frame.outgoing = true;
  }
  idle_.looked(count, socket_.get());
  return count;
}

void WatchSource::collect_drops(Counters& counters) {
  counters.drop(Drop::kRingFull, read_ring_drops(socket_.get()));
}

}  // namespace flowsieve
