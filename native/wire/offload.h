// The words of the kernel's offload header (VIRTIO_NET_HDR_*; linux/virtio_net.h is not C++).
#pragma once

#include <cstdint>

namespace flowsieve {

// OffloadHeader::flags.
/// The checksum is partial: its field holds the sum of the pseudo header, and what stands from
/// csum_start on is still to be added.
inline constexpr uint8_t kNeedsChecksum = 1;
inline constexpr uint8_t kChecksumValid = 2;

// OffloadHeader::gso_type.
inline constexpr uint8_t kNoSegmentation = 0, kSegmentTcp4 = 1, kSegmentTcp6 = 4, kSegmentUdp = 5;
/// Set beside one of these: the first segment alone keeps TCP's CWR flag.
inline constexpr uint8_t kSegmentEcn = 0x80;

}  // namespace flowsieve
