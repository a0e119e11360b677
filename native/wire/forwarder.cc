#include "wire/forwarder.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "base/clock.h"
#include "wire/tun.h"

namespace flowsieve {

/// One frame about to leave, with everything that its message points to.
struct Forwarder::Outgoing {
  sockaddr_ll to;
  Outer outer;
  std::array<uint8_t, kPieceHeadMax> head;  ///< of a piece; a whole packet is sent where it stands
  std::array<iovec, 4> parts;
  uint32_t packet;  ///< which of the burst's it is, or is a piece of
};

struct Forwarder::Batch {
  static constexpr size_t kMessages = 64;
  std::array<mmsghdr, kMessages> messages;
  std::array<Outgoing, kMessages> outgoing;
  size_t count = 0;
  uint32_t packet = 0;                    ///< of the burst, which is being put in
  std::array<bool, kBurst> is_refused{};  ///< by packet of the burst
};

Result<std::unique_ptr<Forwarder>> Forwarder::open() {
  // Protocol 0: it only sends.
  Descriptor socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket.open()) return system_error("opening a packet socket");
  const int yes = 1;
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) != 0) {
    return system_error("asking for offload headers on a packet socket");
  }
  auto errors = TooBigSender::open();
  if (!errors) return errors.error();
  return std::unique_ptr<Forwarder>(new Forwarder(std::move(socket), std::move(errors.value())));
}

Forwarder::Forwarder(Descriptor socket, std::unique_ptr<TooBigSender> errors)
    : socket_(std::move(socket)),
      errors_(std::move(errors)),
      batch_(std::make_unique<Batch>()),
      identification_(static_cast<uint16_t>(std::random_device{}())) {}

Forwarder::~Forwarder() = default;

void Forwarder::set_hops(std::vector<Hop> hops) {
  hops_ = std::move(hops);
  if (forwarded_.size() < hops_.size()) forwarded_.resize(hops_.size());
}

size_t Forwarder::deliver(std::span<const Accepted> packets) {
  now_ns_ = monotonic_ns();
  if (now_ns_ >= active_until_.load(std::memory_order_relaxed)) {
    counts_.add(Count::kStoodBy, packets.size());
    return packets.size();
  }
  const size_t all = packets.size();
  size_t refused = 0;
  // A burst of the worker is no larger than that; what else delivers, delivers single packets.
  for (; !packets.empty(); packets = packets.subspan(std::min(packets.size(), kBurst))) {
    const std::span<const Accepted> burst = packets.first(std::min(packets.size(), kBurst));
    batch_->is_refused.fill(false);
    for (batch_->packet = 0; batch_->packet < burst.size(); ++batch_->packet) {
      forward(burst[batch_->packet]);
    }
    flush();
    for (size_t i = 0; i < burst.size(); ++i) refused += batch_->is_refused[i];
  }
  return all - refused;
}

void Forwarder::forward(const Accepted& accepted) {
  const Frame& frame = *accepted.frame;
  const Hop* hop = accepted.owner < hops_.size() ? &hops_[accepted.owner] : nullptr;
  if (hop == nullptr || !hop->known) return counts_.drop(Drop::kHopUnknown);
  // A switch that does not know the node yet floods, and a bridge shows us our own frame again.
  if (hop->mode == ForwardMode::kMac && frame.link == LinkType::kEthernet &&
      frame.bytes.has(0, 6) && std::memcmp(frame.bytes.data, hop->destination.data(), 6) == 0) {
    return counts_.drop(Drop::kForwardLoop);
  }
  Inner inner;
  if (!frame.bytes.has(accepted.ip_offset, accepted.ip_bytes) ||
      !strip_link_header(frame.offload, accepted.ip_offset, accepted.ip_bytes, inner.offload)) {
    return counts_.drop(Drop::kForwardUnfit);
  }
  inner.head = frame.bytes.from(accepted.ip_offset).first(accepted.ip_bytes);
  Splitter splitter(inner.head, inner.offload);
  switch (splitter.fit(room_of(*hop), hop->mode == ForwardMode::kMac)) {
    case Fit::kWhole:
      if (!put(*hop, inner)) return counts_.drop(Drop::kForwardUnfit);
      break;
    case Fit::kPieces:
      counts_.add(Count::kSplit);
      forward_pieces(*hop, splitter);
      break;
    case Fit::kTooBig:
      counts_.drop(Drop::kTooBig);
      return report_too_big(*hop, inner.head);
    case Fit::kUnfit:
      return counts_.drop(Drop::kForwardUnfit);
  }
  Forwarded& sum = forwarded_[accepted.owner];
  ++sum.packets;
  sum.bytes += accepted.ip_bytes;
  counts_.add(Count::kForwarded);
  counts_.add(Count::kForwardedBytes, accepted.ip_bytes);
}

void Forwarder::forward_pieces(const Hop& hop, Splitter& splitter) {
  Inner piece;
  while (splitter.next(piece)) {
    if (batch_->count == Batch::kMessages) flush();
    // The splitter writes the next head into the same place.
    Outgoing& outgoing = batch_->outgoing[batch_->count];
    std::memcpy(outgoing.head.data(), piece.head.data, piece.head.size);
    piece.head.data = outgoing.head.data();
    if (!put(hop, piece)) return counts_.drop(Drop::kForwardUnfit);
  }
}

/// Puts one frame into the batch. Where it stands in it, `inner.head` may stand too.
bool Forwarder::put(const Hop& hop, const Inner& inner) {
  if (batch_->count == Batch::kMessages) flush();
  Outgoing& outgoing = batch_->outgoing[batch_->count];
  if (!write_outer(hop, inner, identification_, outgoing.outer)) return false;
  ++identification_;
  outgoing.packet = batch_->packet;
  outgoing.to = sockaddr_ll{};
  outgoing.to.sll_family = AF_PACKET;
  outgoing.to.sll_protocol = htons(load_be16(outgoing.outer.bytes.data() + 12));
  outgoing.to.sll_ifindex = hop.interface;
  outgoing.to.sll_halen = 6;
  std::memcpy(outgoing.to.sll_addr, hop.destination.data(), 6);
  const auto part = [](const void* data, size_t size) {
    return iovec{const_cast<void*>(data), size};
  };
  outgoing.parts = {part(&outgoing.outer.offload, sizeof(OffloadHeader)),
                    part(outgoing.outer.bytes.data(), outgoing.outer.size),
                    part(inner.head.data, inner.head.size), part(inner.tail.data, inner.tail.size)};
  mmsghdr& message = batch_->messages[batch_->count];
  message = mmsghdr{};
  message.msg_hdr.msg_name = &outgoing.to;
  message.msg_hdr.msg_namelen = sizeof outgoing.to;
  message.msg_hdr.msg_iov = outgoing.parts.data();
  message.msg_hdr.msg_iovlen = inner.tail.size != 0 ? 4 : 3;
  ++batch_->count;
  return true;
}

void Forwarder::report_too_big(const Hop& hop, Bytes packet) {
  TooBig error;
  if (!write_too_big(packet, room_of(hop), error)) return;
  const bool sent = errors_->send(error, now_ns_) == TooBigSender::Outcome::kSent;
  counts_.add(sent ? Count::kTooBigSent : Count::kTooBigLimited);
}

/// Sends what is in the batch. A frame that the kernel refuses does not keep those behind it.
void Forwarder::flush() {
  size_t done = 0;
  while (done < batch_->count) {
    const int sent = sendmmsg(socket_.get(), batch_->messages.data() + done,
                              static_cast<unsigned>(batch_->count - done), MSG_DONTWAIT);
    if (sent > 0) {
      done += static_cast<size_t>(sent);
      continue;
    }
    batch_->is_refused[batch_->outgoing[done].packet] = true;
    ++done;
  }
  batch_->count = 0;
}

void Forwarder::collect(Counters& counters) {
  counters += counts_;
  counts_ = Counters{};
}

}  // namespace flowsieve
