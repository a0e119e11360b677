// What a router says of a packet that does not fit on its way: ICMP destination unreachable,
// fragmentation needed, with the MTU (RFC 792, RFC 1191 4); ICMPv6 packet too big (RFC 4443 3.2).
//
// Nothing is said of what must not be answered (RFC 1812 4.3.2.7, RFC 4443 2.4 e): ICMP errors
// themselves, later fragments, and packets from an address that is no single host's.
//
// The rate is bounded (RFC 4443 2.4 f), as the kernel bounds its own: see TooBigSender.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/status.h"
#include "wire/link.h"
#include "wire/source.h"

namespace flowsieve {

/// The largest quote: an ICMPv6 error fills the least MTU of IPv6 (RFC 4443 2.4 c).
inline constexpr size_t kTooBigMax = 1280 - 40;

struct TooBig {
  Family family = Family::kIpv4;
  Address to{};                             ///< the packet's sender
  std::array<uint8_t, kTooBigMax> message;  ///< from the ICMP header on
  size_t size = 0;
};

/// Writes the error about `packet` (from its IP header on; the wire's bytes). `mtu`: the largest
/// packet that would fit. The checksum of an ICMPv6 message is left to whoever knows the source.
/// False when there is nothing to say.
bool write_too_big(Bytes packet, uint32_t mtu, TooBig& error);

/// Sends the errors by the host's own routes, from the host's own address.
class TooBigSender {
 public:
  static constexpr uint32_t kPerSecond = 1000, kAtOnce = 50;

  static Result<std::unique_ptr<TooBigSender>> open();
  enum class Outcome : uint8_t { kSent, kLimited, kNotSent };
  Outcome send(const TooBig& error, uint64_t now_ns);

 private:
  TooBigSender(Descriptor ipv4, Descriptor ipv6) : ipv4_(std::move(ipv4)), ipv6_(std::move(ipv6)) {}
  bool may_send(uint64_t now_ns);

  Descriptor ipv4_, ipv6_;
  uint64_t earned_until_ns_ = 0;
  uint64_t tokens_ns_ = 0;  ///< saved up, as time
};

}  // namespace flowsieve
