#include "wire/ring.h"

#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>

#include "base/pages.h"
#include "wire/fanout.h"
#include "wire/ring_program.h"

namespace flowsieve {

namespace {

// The largest IP packet behind an Ethernet header with tags. (Larger "BIG TCP" packets do not fit:
// kRingTruncated.)
constexpr size_t kFrameBytesMax = 65535 + 14 + 4 * kLinkTagsMax;
// A whole burst of the largest frames; pages are used from the front, so most are never touched.
constexpr size_t kArenaBytes = (kBurst * (kFrameBytesMax + 64) + 4095) & ~size_t{4095};
// Up to here a queue entry is compared with its slot: all headers, so that neighbours in one
// connection differ.
constexpr size_t kComparedBytes = 128;

Status set_option(int socket, int level, int option, int value, const char* what) {
  if (setsockopt(socket, level, option, &value, sizeof value) != 0) return system_error(what);
  return ok_status();
}

Status configure(int socket, const RingOptions& options) {
  const struct {
    int level, option, value;
    const char* what;
  } settings[] = {
      {SOL_PACKET, PACKET_VNET_HDR, 1, "asking for offload headers in the packet ring"},
      {SOL_PACKET, PACKET_COPY_THRESH, 1, "asking for whole copies of large frames"},
      {SOL_PACKET, PACKET_IGNORE_OUTGOING, 1, "leaving out what this node sends"},
  };
  for (const auto& [level, option, value, what] : settings) {
    if (Status set = set_option(socket, level, option, value, what); !set) return set;
  }
  const int queue_bytes = static_cast<int>(options.queue_bytes / 2);  // the kernel doubles it
  if (setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &queue_bytes, sizeof queue_bytes) == 0) {
    return ok_status();
  }
  // Root of a user namespace may not exceed net.core.rmem_max; what does not fit is kRingTruncated.
  return set_option(socket, SOL_SOCKET, SO_RCVBUF, queue_bytes,
                    "setting the size of the receive queue");
}

}  // namespace

Result<std::unique_ptr<RingSource>> RingSource::open_one(const RingOptions& options,
                                                         const LinkInfo& link) {
  Result<int> opened = open_ring_socket(SOCK_RAW);
  if (!opened) return opened.error();
  Descriptor socket{opened.value()};
  if (const Status configured = configure(socket.get(), options); !configured) {
    return configured.error();
  }
  Result<RingSlots> slots = RingSlots::create(socket.get(), options.slot_bytes, options.slots);
  if (!slots) return slots.error();
  if (const Status bound = bind_ring_socket(socket.get(), link.index); !bound) return bound.error();
  void* arena = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) return system_error("mapping memory for large frames");
  without_children(arena, kArenaBytes);
  return std::unique_ptr<RingSource>(new RingSource(std::move(socket), std::move(slots.value()),
                                                    static_cast<uint8_t*>(arena), options.ingress));
}

Result<std::vector<std::unique_ptr<RingSource>>> RingSource::open(const RingOptions& options,
                                                                  size_t workers) {
  const Result<LinkInfo> link = read_link(options.interface);
  if (!link) return link.error();
  if (!link.value().ethernet) {
    return Error{
        ErrorCode::kArgument,
        "Expected an Ethernet interface for the capture but received '" + options.interface + "'."};
  }
  if (options.addresses.size() > kFilterAddressesMax) {
    return Error{ErrorCode::kArgument, "Expected at most 256 cluster addresses but received " +
                                           std::to_string(options.addresses.size()) + "."};
  }
  std::vector<std::unique_ptr<RingSource>> sources;
  std::vector<int> sockets;
  for (size_t i = 0; i < workers; ++i) {
    Result<std::unique_ptr<RingSource>> source = open_one(options, link.value());
    if (!source) return source.error();
    sockets.push_back(source.value()->socket_.get());
    sources.push_back(std::move(source.value()));
  }
  if (workers > 1) {
    if (const Status joined = join_fanout(sockets, false); !joined) return joined.error();
  }
  // Only now are the filters opened: a bound socket that has not yet joined would get every packet.
  const Program filter = options.cluster_mac ? gateway_filter(*options.cluster_mac)
                                             : arrival_filter(options.addresses);
  for (const auto& source : sources) {
    if (Status opened = source->open_filter(filter, options); !opened) return opened.error();
  }
  return sources;
}

/// Each ring has a bypass of its own, as each worker has a table of its own.
Status RingSource::open_filter(const Program& arrival, const RingOptions& options) {
  if (!options.bypass) return attach_filter(socket_.get(), arrival);
  auto opened = RingBypass::open(arrival, options.early);
  if (!opened) return opened.error();
  bypass_ = std::move(opened.value());
  return bypass_->attach(socket_.get());
}

RingSource::RingSource(Descriptor socket, RingSlots slots, uint8_t* arena, uint8_t ingress)
    : socket_(std::move(socket)), slots_(std::move(slots)), arena_(arena), ingress_(ingress) {}

RingSource::~RingSource() {
  munmap(arena_, kArenaBytes);
}

void RingSource::begin_burst() {
  discard_queued(static_cast<uint16_t>(queued_ - queue_passed_));
  queued_ = queue_passed_ = 0;
  arena_used_ = 0;
  slots_.give_back();
}

uint64_t RingSource::next_ns() const {
  const tpacket2_hdr* slot = slots_.peek();
  return slot == nullptr ? UINT64_MAX : uint64_t{slot->tp_sec} * 1'000'000'000 + slot->tp_nsec;
}

void RingSource::end_burst(size_t count) {
  idle_.looked(count, socket_.get());
}

size_t RingSource::receive(std::span<Frame> burst) {
  begin_burst();
  size_t count = 0;
  Clocks clocks;
  while (count < burst.size()) {
    const tpacket2_hdr* slot = slots_.take();
    if (slot == nullptr) break;
    if (count == 0) clocks = Clocks::read();
    fill(slot, clocks, burst[count++]);
  }
  end_burst(count);
  return count;
}

void RingSource::fill(const tpacket2_hdr* slot, const Clocks& clocks, Frame& frame) {
  frame = Frame{};
  frame.bytes = RingSlots::packet(slot);
  frame.wire_bytes = slot->tp_len;
  frame.ingress = ingress_;
  frame.time_ns = clocks.to_monotonic(uint64_t{slot->tp_sec} * 1'000'000'000 + slot->tp_nsec);
  std::memcpy(&frame.offload, frame.bytes.data - sizeof frame.offload, sizeof frame.offload);
  if ((slot->tp_status & TP_STATUS_VLAN_VALID) != 0) {
    frame.vlan_tpid = slot->tp_vlan_tpid;
    frame.vlan_tci = slot->tp_vlan_tci;
  }
  frame.partial = slot->tp_snaplen < slot->tp_len;
  if ((slot->tp_status & TP_STATUS_COPY) != 0) frame.handle = ++queued_;
}

bool RingSource::complete(Frame& frame) {
  if (!frame.partial) return true;
  // No handle: the queue was full. Passed: completed out of order, which the seam forbids.
  if (frame.handle <= queue_passed_ || arena_used_ + frame.wire_bytes > kArenaBytes) {
    ++truncated_;
    return false;
  }
  discard_queued(static_cast<uint16_t>(frame.handle - queue_passed_ - 1));
  ++queue_passed_;
  if (read_queued(frame)) return true;
  ++truncated_;
  return false;
}

/// Reads the next entry, which is that of `frame`.
bool RingSource::read_queued(Frame& frame) {
  uint8_t* into = arena_ + arena_used_;
  OffloadHeader offload;
  iovec parts[] = {{&offload, sizeof offload}, {into, frame.wire_bytes}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const size_t expected = sizeof offload + frame.wire_bytes;
  const size_t compared = std::min({kComparedBytes, frame.bytes.size, size_t{frame.wire_bytes}});
  for (bool cleared = false;;) {
    // With MSG_TRUNC the answer is the entry's real length, also when it is longer
    // than what we expect.
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) {
      // An error of the socket (its interface went down) comes once, before the entries.
      if (errno == EAGAIN || cleared) return false;
      cleared = true;
      continue;
    }
    if (static_cast<size_t>(got) != expected) continue;
    if (std::memcmp(&offload, &frame.offload, sizeof offload) != 0) continue;
    if (std::memcmp(into, frame.bytes.data, compared) != 0) continue;
    break;
  }
  frame.bytes = {into, frame.wire_bytes};
  frame.partial = false;
  arena_used_ += (size_t{frame.wire_bytes} + 63) & ~size_t{63};
  return true;
}

/// Takes `count` entries out of the queue unread: one system call, only their offload
/// headers are copied.
void RingSource::discard_queued(uint16_t count) {
  queue_passed_ = static_cast<uint16_t>(queue_passed_ + count);
  assert(count <= kBurst);
  std::array<OffloadHeader, kBurst> headers;
  std::array<iovec, kBurst> parts;
  std::array<mmsghdr, kBurst> messages{};
  for (uint16_t i = 0; i < count; ++i) {
    parts[i] = {&headers[i], sizeof headers[i]};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (bool cleared = false; count > 0;) {
    const int got = recvmmsg(socket_.get(), messages.data(), count, MSG_DONTWAIT, nullptr);
    if (got < 0 && (errno == EAGAIN || cleared)) return;
    if (got < 0) cleared = true;
    if (got > 0) count = static_cast<uint16_t>(count - got);
  }
}

void RingSource::collect_drops(Counters& counters) {
  counters.drop(Drop::kRingFull, read_ring_drops(socket_.get()));
  counters.drop(Drop::kRingTruncated, truncated_);
  truncated_ = 0;
  if (bypass_) bypass_->collect(counters);
}

}  // namespace flowsieve
