#include "wire/too_big.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "packet/packet.h"
#include "wire/checksum.h"

namespace flowsieve {
namespace {

constexpr uint8_t kUnreachable4 = 3, kFragmentationNeeded = 4, kTooBig6 = 2;
constexpr size_t kIcmpBytes = 8;
/// An ICMP error of IPv4 is at most as long as what every host takes (RFC 1812 4.3.2.3).
constexpr size_t kQuote4Max = 576 - 20 - kIcmpBytes;
constexpr uint32_t kMtuMin6 = 1280;
constexpr uint64_t kTokenNs = 1'000'000'000 / TooBigSender::kPerSecond;

/// One host's address, which can be answered.
bool is_single(const Address& address) {
  if (is_mapped_ipv4(address)) {
    const uint8_t first = address[12];
    return first != 0 && first != 127 && first < 224;
  }
  static constexpr Address kUnspecified{};
  Address loopback{};
  loopback[15] = 1;
  return address[0] != 0xff && address != kUnspecified && address != loopback;
}

}  // namespace

bool write_too_big(Bytes packet, uint32_t mtu, TooBig& error) {
  // The same walk that decides: what is malformed is not answered.
  const Packet read = parse(packet, static_cast<uint32_t>(packet.size), LinkType::kRawIp);
  if (!read.ip || read.drop != Drop::kNone) return false;
  if (read.kind == Kind::kError || read.kind == Kind::kFragment || read.kind == Kind::kControl) {
    return false;
  }
  if (!is_single(read.ip_source)) return false;
  error.family = packet.data[0] >> 4 == 4 ? Family::kIpv4 : Family::kIpv6;
  error.to = read.ip_source;
  uint8_t* out = error.message.data();
  std::memset(out, 0, kIcmpBytes);
  const bool ipv4 = error.family == Family::kIpv4;
  const size_t most = ipv4 ? kQuote4Max : kTooBigMax - kIcmpBytes;
  const Bytes quote = packet.first(std::min<size_t>(most, read.ip_bytes));
  std::memcpy(out + kIcmpBytes, quote.data, quote.size);
  error.size = kIcmpBytes + quote.size;
  if (!ipv4) {
    out[0] = kTooBig6;
    store_be32(out + 4, std::max(mtu, kMtuMin6));
    return true;
  }
  out[0] = kUnreachable4;
  out[1] = kFragmentationNeeded;
  store_be16(out + 6, static_cast<uint16_t>(std::min(mtu, 65535u)));
  Sum sum;
  sum.add(Bytes{out, error.size});
  store_be16(out + 2, sum.checksum());
  return true;
}

Result<std::unique_ptr<TooBigSender>> TooBigSender::open() {
  const auto open_raw = [](int family, int protocol) {
    return Descriptor(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  };
  Descriptor ipv4 = open_raw(AF_INET, IPPROTO_ICMP);
  if (!ipv4.open()) return system_error("opening a socket for ICMP errors");
  // Without IPv6 on this host no IPv6 packet comes either.
  Descriptor ipv6 = open_raw(AF_INET6, IPPROTO_ICMPV6);
  // They only send: nothing of what comes is to be kept for them.
  icmp_filter nothing4{.data = ~0u};
  icmp6_filter nothing6;
  ICMP6_FILTER_SETBLOCKALL(&nothing6);
  const bool closed =
      setsockopt(ipv4.get(), SOL_RAW, ICMP_FILTER, &nothing4, sizeof nothing4) == 0 &&
      (!ipv6.open() ||
       setsockopt(ipv6.get(), IPPROTO_ICMPV6, ICMP6_FILTER, &nothing6, sizeof nothing6) == 0);
  if (!closed) return system_error("closing the way in of a socket for ICMP errors");
  return std::unique_ptr<TooBigSender>(new TooBigSender(std::move(ipv4), std::move(ipv6)));
}

bool TooBigSender::may_send(uint64_t now_ns) {
  constexpr uint64_t kMost = kAtOnce * kTokenNs;
  tokens_ns_ = earned_until_ns_ == 0
                   ? kMost
                   : std::min(kMost, tokens_ns_ + now_ns - std::min(now_ns, earned_until_ns_));
  earned_until_ns_ = std::max(earned_until_ns_, now_ns);
  if (tokens_ns_ < kTokenNs) return false;
  tokens_ns_ -= kTokenNs;
  return true;
}

TooBigSender::Outcome TooBigSender::send(const TooBig& error, uint64_t now_ns) {
  if (!may_send(now_ns)) return Outcome::kLimited;
  ssize_t sent = -1;
  if (error.family == Family::kIpv4) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    std::memcpy(&to.sin_addr, error.to.data() + 12, 4);
    sent = sendto(ipv4_.get(), error.message.data(), error.size, MSG_DONTWAIT,
                  reinterpret_cast<const sockaddr*>(&to), sizeof to);
  } else {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    std::memcpy(&to.sin6_addr, error.to.data(), 16);
    sent = sendto(ipv6_.get(), error.message.data(), error.size, MSG_DONTWAIT,
                  reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }
  return sent >= 0 ? Outcome::kSent : Outcome::kNotSent;
}

}  // namespace flowsieve
