// The smallest node: a ring on v0 whose packets all go to a TUN device, and a responder. It stands
// in for the worker, which comes in a later room.
#pragma once

#include <poll.h>

#include <array>
#include <atomic>
#include <thread>

#include "packet/packet.h"
#include "support/packet_builder.h"
#include "wire/namespace.h"
#include "wire/responder.h"
#include "wire/ring.h"
#include "wire/tun.h"

namespace flowsieve::test {

inline const Mac kClusterMac{0x01, 0x00, 0x5e, 0x00, 0x00, 0x64};

class LiveNode {
 public:
  struct Seen {
    size_t frames = 0, answered = 0, super_packets = 0, partial_checksums = 0, refused = 0;
    uint32_t longest = 0;
  };

  /// `address4` and `address6` are put on the TUN, and the guard on v0.
  LiveNode(const Namespace& where, const char* address4, const char* address6) {
    const std::vector<Address> addresses = {address_of(address4), address_of(address6)};
    REQUIRE(
        where.shell(std::string("nft add table netdev guard && nft 'add chain netdev guard in { "
                                "type filter hook ingress device v0 priority 0; }' && nft add rule "
                                "netdev guard in ip daddr ") +
                    address4 + " drop && nft add rule netdev guard in ip6 daddr " + address6 +
                    " drop && sysctl -qw net.ipv4.conf.all.rp_filter=0 "
                    "net.ipv4.conf.default.rp_filter=0 net.ipv4.conf.v0.arp_ignore=1 "
                    "net.ipv4.conf.v0.arp_announce=2"));
    std::string problem;
    where.run([&] {
      RingOptions options;
      options.interface = "v0";
      options.addresses = addresses;
      auto rings = RingSource::open(options, 1);
      if (!rings) return void(problem = rings.error().message);
      ring_ = std::move(rings.value()[0]);
      auto queues = TunDelivery::open(TunOptions{}, 1);
      if (!queues) return void(problem = queues.error().message);
      tun_ = std::move(queues.value()[0]);
      auto responder = LinkResponder::open("v0", kClusterMac, addresses);
      if (!responder) return void(problem = responder.error().message);
      responder_ = std::move(responder.value());
      auto joined =
          Membership::join(read_link("v0").value(), needed_memberships(kClusterMac, addresses));
      if (!joined) return void(problem = joined.error().message);
      membership_ = std::make_unique<Membership>(std::move(joined.value()));
    });
    REQUIRE_MESSAGE(problem.empty(), problem);
    REQUIRE(where.shell(std::string("ip addr add ") + address4 +
                        "/32 dev flowsieve0 && ip addr add " + address6 +
                        "/128 dev flowsieve0 nodad"));
    thread_ = std::thread([this] { work(); });
  }
  ~LiveNode() { stop(); }

  /// Ends the work; what was seen can be read then.
  const Seen& stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return seen_;
  }

 private:
  void work() {
    std::array<Frame, kBurst> burst;
    std::array<Accepted, kBurst> accepted;
    while (!stopping_) {
      const size_t count = ring_->receive(burst);
      size_t own = 0;
      for (size_t i = 0; i < count; ++i) {
        Frame& frame = burst[i];
        if (responder_->answer(frame)) {
          ++seen_.answered;
          continue;
        }
        const Packet packet = parse(frame.bytes, frame.wire_bytes, frame.link);
        if (!packet.ip || packet.kind == Kind::kControl || !ring_->complete(frame)) continue;
        ++seen_.frames;
        if (frame.offload.gso_type != 0) ++seen_.super_packets;
        if ((frame.offload.flags & 1) != 0) ++seen_.partial_checksums;
        seen_.longest = std::max(seen_.longest, frame.wire_bytes);
        accepted[own++] = {&frame, packet.ip_offset, packet.ip_bytes};
      }
      seen_.refused += own - tun_->deliver({accepted.data(), own});
      if (count > 0) continue;
      pollfd ready{ring_->poll_fd(), POLLIN, 0};
      poll(&ready, 1, 20);
    }
  }

  std::unique_ptr<RingSource> ring_;
  std::unique_ptr<TunDelivery> tun_;
  std::unique_ptr<LinkResponder> responder_;
  std::unique_ptr<Membership> membership_;
  std::atomic<bool> stopping_{false};
  Seen seen_;  ///< the thread's until stop()
  std::thread thread_;
};

}  // namespace flowsieve::test
