#include "wire/split.h"

#include <algorithm>
#include <cstring>

#include "packet/packet.h"
#include "packet/protocols.h"
#include "wire/checksum.h"
#include "wire/offload.h"

namespace flowsieve {
namespace {

constexpr uint16_t kDontFragment = 0x4000, kMoreFragments = 0x2000, kOffsetMask = 0x1fff;
constexpr uint8_t kTcpPush = 0x08, kTcpCwr = 0x80;
constexpr uint8_t kOptionEnd = 0, kOptionNop = 1, kOptionCopied = 0x80;
/// What a first fragment takes into its head besides the IP header: every checksum stands in there.
constexpr uint32_t kFirstBytes = 32;

uint8_t kind_of(const OffloadHeader& offload) {
  return offload.gso_type & static_cast<uint8_t>(~kSegmentEcn);
}

/// Leaves in an IPv4 header of `size` bytes only the options that every fragment has (RFC 791
/// 3.1), and returns its new size.
size_t keep_copied_options(uint8_t* header, size_t size) {
  size_t kept = 20;
  for (size_t at = 20; at < size;) {
    const uint8_t option = header[at];
    if (option == kOptionEnd) break;
    const size_t bytes = option == kOptionNop ? 1 : at + 1 < size ? header[at + 1] : 0;
    if (bytes == 0 || at + bytes > size || (option != kOptionNop && bytes < 2)) break;
    if ((option & kOptionCopied) != 0) {
      std::memmove(header + kept, header + at, bytes);
      kept += bytes;
    }
    at += bytes;
  }
  while (kept % 4 != 0) header[kept++] = kOptionEnd;
  header[0] = static_cast<uint8_t>(0x40 | kept / 4);
  return kept;
}

/// The folded sum `sum` with `before` in it replaced by `after` (RFC 1624).
uint16_t replaced(uint16_t sum, uint32_t before, uint32_t after) {
  Sum changed;
  changed.add(sum);
  changed.add(static_cast<uint16_t>(~before));
  changed.add(static_cast<uint16_t>(after));
  return changed.folded();
}

}  // namespace

Splitter::Splitter(Bytes packet, const OffloadHeader& offload)
    : packet_(packet), offload_(offload) {
  readable_ = read();  // not above: the members that it sets are initialised behind it
}

/// Finds the headers. False when they do not agree with the offload header.
bool Splitter::read() {
  if (packet_.size < 20) return false;
  ipv4_ = packet_.data[0] >> 4 == 4;
  const bool ipv6 = packet_.data[0] >> 4 == 6;
  if (!ipv4_ && !(ipv6 && packet_.size >= 40)) return false;
  const size_t ip_header = ipv4_ ? size_t{packet_.data[0] & 15u} * 4 : 40;
  if (ip_header < 20 || ip_header > packet_.size) return false;
  may_fragment_ = ipv4_ && (load_be16(packet_.data + 6) & kDontFragment) == 0;
  const bool partial = (offload_.flags & kNeedsChecksum) != 0;
  const size_t start = offload_.csum_start;
  if (partial && (start < ip_header || !packet_.has(start + offload_.csum_offset, 2))) return false;
  segments_ = offload_.gso_type != kNoSegmentation;
  if (!segments_) {
    header_ = static_cast<uint32_t>(ip_header);
    return true;
  }
  // Whoever put segments together has left the checksum partial: it says where they begin.
  if (!partial || offload_.gso_size == 0) return false;
  const uint8_t kind = kind_of(offload_);
  size_t transport = 8;
  if (kind == kSegmentUdp) {
    if (offload_.csum_offset != 6 || !packet_.has(start, 8)) return false;
  } else {
    if (kind != (ipv4_ ? kSegmentTcp4 : kSegmentTcp6)) return false;
    if (offload_.csum_offset != 16 || !packet_.has(start, 20)) return false;
    transport = size_t{packet_.data[start + 12]} >> 4 << 2;
    if (transport < 20 || !packet_.has(start, transport)) return false;
  }
  header_ = static_cast<uint32_t>(start + transport);
  return header_ <= kPieceHeadMax;
}

Fit Splitter::fit(uint32_t room, bool super_packets) {
  if (!readable_) return Fit::kUnfit;
  if (!segments_) {
    if (packet_.size <= room) return Fit::kWhole;
    if (!may_fragment_) return Fit::kTooBig;
    return begin_fragments(room) ? Fit::kPieces : Fit::kUnfit;
  }
  step_ = offload_.gso_size;
  // Shorter than one segment would be: it is none that was put together.
  const bool fits = std::min<size_t>(packet_.size, header_ + step_) <= room;
  if (fits && super_packets) return Fit::kWhole;
  if (!fits) {
    if (!may_fragment_) return Fit::kTooBig;
    if (kind_of(offload_) == kSegmentUdp || room < header_ + 8) return Fit::kUnfit;
    step_ = room - header_;
  }
  return Fit::kPieces;
}

bool Splitter::begin_fragments(uint32_t room) {
  if (room < header_ + 8) return false;
  step_ = (room - header_) & ~7u;
  if ((offload_.flags & kNeedsChecksum) == 0) return true;
  const size_t field = size_t{offload_.csum_start} + offload_.csum_offset;
  if (field + 2 > header_ + std::min(kFirstBytes, step_)) return false;
  Sum sum;
  sum.add(packet_.from(offload_.csum_start));
  checksum_ = sum.checksum();
  // For UDP, 0 would say that there is none.
  if (packet_.data[9] == kProtocolUdp && checksum_ == 0) checksum_ = 0xffff;
  return true;
}

bool Splitter::next(Inner& piece) {
  const uint32_t payload = static_cast<uint32_t>(packet_.size) - header_;
  if (done_ >= payload && !(index_ == 0 && payload == 0)) return false;
  std::memcpy(head_.data(), packet_.data, header_);
  head_size_ = header_;
  piece = Inner{};
  segments_ ? next_segment(piece) : next_fragment(piece);
  ++index_;
  piece.head = {head_.data(), head_size_};
  return true;
}

void Splitter::next_segment(Inner& piece) {
  const Bytes payload = packet_.from(header_);
  piece.tail = payload.from(done_).first(step_);
  const bool first = index_ == 0;
  done_ += static_cast<uint32_t>(piece.tail.size);
  const bool last = done_ >= payload.size;
  const size_t start = offload_.csum_start;
  uint8_t* transport = head_.data() + start;
  const uint32_t before = static_cast<uint32_t>(packet_.size - start);
  const uint32_t after = static_cast<uint32_t>(header_ - start + piece.tail.size);
  if (kind_of(offload_) == kSegmentUdp) {
    store_be16(transport + 4, static_cast<uint16_t>(after));
  } else {
    const uint32_t sent = done_ - static_cast<uint32_t>(piece.tail.size);
    store_be32(transport + 4, load_be32(transport + 4) + sent);
    if (!last) transport[13] &= static_cast<uint8_t>(~(kTcpFin | kTcpPush));
    if (!first) transport[13] &= static_cast<uint8_t>(~kTcpCwr);
  }
  uint8_t* field = transport + offload_.csum_offset;
  store_be16(field, replaced(load_be16(field), before, after));
  piece.offload.flags = kNeedsChecksum;
  piece.offload.csum_start = offload_.csum_start;
  piece.offload.csum_offset = offload_.csum_offset;
  const size_t bytes = head_size_ + piece.tail.size;
  if (ipv4_) {
    store_be16(head_.data() + 4, static_cast<uint16_t>(load_be16(head_.data() + 4) + index_));
    finish_ipv4(bytes);
  } else {
    store_be16(head_.data() + 4, static_cast<uint16_t>(bytes - 40));
  }
}

void Splitter::next_fragment(Inner& piece) {
  const Bytes payload = packet_.from(header_);
  const Bytes part = payload.from(done_).first(step_);
  const uint16_t field = load_be16(packet_.data + 6);
  const bool more = (field & kMoreFragments) != 0 || done_ + part.size < payload.size;
  const uint32_t offset = (field & kOffsetMask) + done_ / 8;
  if (index_ == 0) {
    const Bytes copied = part.first(kFirstBytes);
    std::memcpy(head_.data() + head_size_, copied.data, copied.size);
    head_size_ += copied.size;
    if ((offload_.flags & kNeedsChecksum) != 0) {
      store_be16(head_.data() + offload_.csum_start + offload_.csum_offset, checksum_);
    }
    piece.tail = part.from(copied.size);
  } else {
    head_size_ = keep_copied_options(head_.data(), header_);
    piece.tail = part;
  }
  store_be16(head_.data() + 6,
             static_cast<uint16_t>((more ? kMoreFragments : 0) | (offset & kOffsetMask)));
  finish_ipv4(head_size_ + piece.tail.size);
  done_ += static_cast<uint32_t>(part.size);
}

/// Length and header checksum of a piece of `bytes`.
void Splitter::finish_ipv4(size_t bytes) {
  uint8_t* ip = head_.data();
  store_be16(ip + 2, static_cast<uint16_t>(bytes));
  store_be16(ip + 10, 0);
  Sum sum;
  sum.add(Bytes{ip, size_t{ip[0] & 15u} * 4});
  store_be16(ip + 10, sum.checksum());
}

}  // namespace flowsieve
