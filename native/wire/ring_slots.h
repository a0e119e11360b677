// The memory that the kernel and a packet socket share (packet_mmap, TPACKET_V2): a circle of slots
// of one size.
//
//   slot   | tpacket2_hdr | sockaddr_ll | gap | offload header | packet ... |
//          ^ status word                      ^ tp_mac - 10    ^ tp_mac, tp_snaplen bytes of tp_len
//
// A slot belongs to the kernel until its status word has TP_STATUS_USER, and to us until we write
// TP_STATUS_KERNEL. Slots are filled and read in order. The status word is read with acquire and
// written with release order, everything else plainly.
//
// V2 and not V3: a V3 block is handed over when it is full or after a timeout of at least 1 ms,
// which in thin traffic is far longer than the answer to a request takes.
#pragma once

#include <linux/if_packet.h>

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"

namespace flowsieve {

class RingSlots {
 public:
  /// Gives `socket` (not yet bound, its packet version and offload header chosen) a ring. Both
  /// numbers are powers of two; slot_bytes >= 128.
  static Result<RingSlots> create(int socket, uint32_t slot_bytes, uint32_t slots);
  RingSlots() = default;
  RingSlots(RingSlots&& other) noexcept;
  RingSlots& operator=(RingSlots&& other) noexcept;
  ~RingSlots();

  /// The next filled slot, or null when the kernel has filled no more.
  const tpacket2_hdr* peek() const;
  /// The same, and it stays ours until give_back().
  const tpacket2_hdr* take();
  /// All slots taken so far belong to the kernel again.
  void give_back();

  /// The packet in a slot.
  static Bytes packet(const tpacket2_hdr* slot) {
    return {reinterpret_cast<const uint8_t*>(slot) + slot->tp_mac, slot->tp_snaplen};
  }

 private:
  uint8_t* at(uint32_t index) const { return memory_ + size_t{index} * slot_bytes_; }

  uint8_t* memory_ = nullptr;
  size_t bytes_ = 0;
  uint32_t slot_bytes_ = 0;
  uint32_t mask_ = 0;   ///< number of slots - 1
  uint32_t next_ = 0;   ///< the slot to be looked at next
  uint32_t taken_ = 0;  ///< slots before it that are ours
};

/// A packet socket as every ring here begins: TPACKET_V2, its filter closed, not bound. `type` is
/// SOCK_RAW or SOCK_DGRAM.
Result<int> open_ring_socket(int type);
/// Binds to `interface_index` (0 = all) and every protocol: a socket bound to one EtherType sits
/// behind the ingress hooks and would see nothing once they drop.
Status bind_ring_socket(int socket, int interface_index);
/// What the kernel could not put into the ring since the last call.
uint64_t read_ring_drops(int socket);
/// Takes the error that a socket keeps after its interface went down; until then poll(2)
/// returns at once.
void clear_socket_error(int socket);

/// Clears the error of a ring's socket when it has brought nothing twice: it would wake its worker
/// for ever. A ring also brings nothing at each turn that another one woke the worker for, and a
/// system call for each of those would cost as much as the packet; so after the second only every
/// 64th clears.
class IdleSocket {
 public:
  /// After each look into the ring that brought `count` frames.
  void looked(size_t count, int socket) {
    turns_ = count == 0 ? turns_ + 1 : 0;
    if (turns_ == 2 || turns_ % kTurns == kTurns - 1) [[unlikely]]
      clear_socket_error(socket);
  }

 private:
  static constexpr uint32_t kTurns = 64;
  uint32_t turns_ = 0;
};

}  // namespace flowsieve
