#include "allocation/distribution.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "base/bytes.h"
#include "hash/crc32c.h"
#include "hash/jhash.h"

namespace flowsieve {
namespace {

constexpr uint8_t kAddresses = kFieldSource | kFieldDestination;
constexpr uint8_t kPorts = kFieldSourcePort | kFieldDestinationPort;
constexpr size_t kIpv4Offset = 12;  // of the four bytes within an Address

/// The bytes of the whole 32-bit words that a prefix touches.
uint8_t prefix_bytes(unsigned prefix) {
  return static_cast<uint8_t>((prefix + 31) / 32 * 4);
}

/// `prefix` set bits from byte `first` on.
Address prefix_mask(size_t first, unsigned prefix) {
  Address mask{};
  for (size_t i = first; i < mask.size() && prefix > 0; ++i) {
    const unsigned bits = std::min(prefix, 8u);
    mask[i] = static_cast<uint8_t>(0xff00 >> bits);
    prefix -= bits;
  }
  return mask;
}

Address masked(const Address& address, const Address& mask) {
  Address result;
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = address[i] & mask[i];
  }
  return result;
}

/// An endpoint as far as it counts: what is not selected is zero.
struct Endpoint {
  Address address;
  uint16_t port;

  bool sorts_behind(const Endpoint& other) const {
    const int order = std::memcmp(address.data(), other.address.data(), address.size());
    return order > 0 || (order == 0 && port > other.port);
  }
};

}  // namespace

Distribution::Side Distribution::make_side(bool selected, unsigned prefix_ipv4,
                                           unsigned prefix_ipv6) {
  if (!selected) {
    return {};
  }
  return {{prefix_mask(kIpv4Offset, prefix_ipv4), prefix_bytes(prefix_ipv4)},
          {prefix_mask(0, prefix_ipv6), prefix_bytes(prefix_ipv6)}};
}

void Distribution::choose_fields() {
  fields_ = options_.fields;
  unsigned source_ipv4 = options_.source_prefix_ipv4, source_ipv6 = options_.source_prefix_ipv6;
  unsigned destination_ipv4 = options_.destination_prefix_ipv4;
  unsigned destination_ipv6 = options_.destination_prefix_ipv6;
  if (options_.symmetric) {
    // A prefix speaks for an address only where that address is selected.
    if ((fields_ & kAddresses) == kFieldSource) {
      destination_ipv4 = source_ipv4;
      destination_ipv6 = source_ipv6;
    } else if ((fields_ & kAddresses) == kFieldDestination) {
      source_ipv4 = destination_ipv4;
      source_ipv6 = destination_ipv6;
    }
    source_ipv4 = destination_ipv4 = std::min(source_ipv4, destination_ipv4);
    source_ipv6 = destination_ipv6 = std::min(source_ipv6, destination_ipv6);
    fields_ |= (fields_ & kAddresses) != 0 ? kAddresses : 0;
    fields_ |= (fields_ & kPorts) != 0 ? kPorts : 0;
  }
  source_ = make_side(fields_ & kFieldSource, source_ipv4, source_ipv6);
  destination_ = make_side(fields_ & kFieldDestination, destination_ipv4, destination_ipv6);
}

Distribution::Distribution(const DistributionOptions& options) : options_(options) {
  assert(std::has_single_bit(options.buckets) && options.buckets <= 65536);
  assert(options.source_prefix_ipv4 <= 32 && options.destination_prefix_ipv4 <= 32);
  assert(options.source_prefix_ipv6 <= 128 && options.destination_prefix_ipv6 <= 128);
  choose_fields();
  sip_key_ = SipKey::from_bytes(options.key.data());
  seed_ = load_le32(options.key.data());
  if (options.hash == HashFunction::kToeplitz) {
    toeplitz_ = std::make_shared<const ToeplitzTable>(options.key);
  }
}

size_t Distribution::layout(const HeaderFields& fields, uint8_t out[kHashedBytesMax]) const {
  const bool ipv4 = fields.family == Family::kIpv4;
  const Selection& of_source = ipv4 ? source_.ipv4 : source_.ipv6;
  const Selection& of_destination = ipv4 ? destination_.ipv4 : destination_.ipv6;
  Endpoint source{masked(fields.source, of_source.mask),
                  fields_ & kFieldSourcePort ? fields.source_port : uint16_t{0}};
  Endpoint destination{masked(fields.destination, of_destination.mask),
                       fields_ & kFieldDestinationPort ? fields.destination_port : uint16_t{0}};
  if (options_.symmetric && source.sorts_behind(destination)) {
    // Both sides' selections are the same then, so that they need no swapping.
    std::swap(source, destination);
  }

  const size_t from = ipv4 ? kIpv4Offset : 0;
  uint8_t* end = out;
  std::memcpy(end, source.address.data() + from, of_source.bytes);
  end += of_source.bytes;
  std::memcpy(end, destination.address.data() + from, of_destination.bytes);
  end += of_destination.bytes;
  if (fields_ & kFieldSourcePort) {
    store_be16(end, source.port);
    end += 2;
  }
  if (fields_ & kFieldDestinationPort) {
    store_be16(end, destination.port);
    end += 2;
  }
  if (fields_ & kFieldProtocol) {
    *end++ = fields.protocol;
  }
  return static_cast<size_t>(end - out);
}

uint64_t Distribution::hash(const HeaderFields& fields) const {
  uint8_t bytes[kHashedBytesMax];
  const size_t size = layout(fields, bytes);
  switch (options_.hash) {
    case HashFunction::kToeplitz:
      return (*toeplitz_)(bytes, size);
    case HashFunction::kCrc32c:
      return crc32c(bytes, size, seed_);
    case HashFunction::kJhash:
      return jhash(bytes, size, seed_);
    case HashFunction::kSipHash:
      break;
  }
  return siphash24(sip_key_, bytes, size);
}

uint32_t Distribution::bucket(const HeaderFields& fields) const {
  const uint64_t value = hash(fields);
  if (options_.hash == HashFunction::kJhash) {
    return static_cast<uint32_t>((value * options_.buckets) >> 32);
  }
  return static_cast<uint32_t>(value) & (options_.buckets - 1);
}

}  // namespace flowsieve
