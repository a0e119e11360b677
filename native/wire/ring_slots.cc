#include "wire/ring_slots.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/pages.h"
#include "wire/link.h"
#include "wire/ring_program.h"

namespace flowsieve {

namespace {

// The kernel allocates a ring block by block; a packet never crosses a block, so
// slots must divide it.
constexpr uint32_t kBlockBytes = 65536;

bool is_power_of_two(uint32_t value) {
  return value != 0 && (value & (value - 1)) == 0;
}

std::atomic_ref<uint32_t> status_of(uint8_t* slot) {
  return std::atomic_ref<uint32_t>(reinterpret_cast<tpacket2_hdr*>(slot)->tp_status);
}

}  // namespace

Result<RingSlots> RingSlots::create(int socket, uint32_t slot_bytes, uint32_t slots) {
  if (!is_power_of_two(slot_bytes) || slot_bytes < 128 || slot_bytes > kBlockBytes ||
      !is_power_of_two(slots) || size_t{slot_bytes} * slots < kBlockBytes) {
    return Error{ErrorCode::kArgument,
                 "Expected ring slots of 128 to 65536 bytes and in all at least 65536 bytes, both "
                 "powers of two, "
                 "but received " +
                     std::to_string(slots) + " slots of " + std::to_string(slot_bytes) + " bytes."};
  }
  tpacket_req request{};
  request.tp_frame_size = slot_bytes;
  request.tp_frame_nr = slots;
  request.tp_block_size = kBlockBytes;
  request.tp_block_nr = static_cast<uint32_t>(size_t{slot_bytes} * slots / kBlockBytes);
  if (setsockopt(socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) {
    return system_error("allocating a packet ring");
  }
  RingSlots ring;
  ring.bytes_ = size_t{slot_bytes} * slots;
  void* memory =
      mmap(nullptr, ring.bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, socket, 0);
  if (memory == MAP_FAILED) return system_error("mapping a packet ring");
  without_children(memory, ring.bytes_);
  ring.memory_ = static_cast<uint8_t*>(memory);
  ring.slot_bytes_ = slot_bytes;
  ring.mask_ = slots - 1;
  return ring;
}

RingSlots::RingSlots(RingSlots&& other) noexcept {
  *this = std::move(other);
}

RingSlots& RingSlots::operator=(RingSlots&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  slot_bytes_ = other.slot_bytes_;
  mask_ = other.mask_;
  next_ = other.next_;
  taken_ = other.taken_;
  return *this;
}

RingSlots::~RingSlots() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
}

const tpacket2_hdr* RingSlots::peek() const {
  // A full circle of taken slots still says USER: they are ours, not new.
  if (taken_ > mask_) return nullptr;
  uint8_t* slot = at(next_);
  if ((status_of(slot).load(std::memory_order_acquire) & TP_STATUS_USER) == 0) return nullptr;
  return reinterpret_cast<const tpacket2_hdr*>(slot);
}

const tpacket2_hdr* RingSlots::take() {
  const tpacket2_hdr* slot = peek();
  if (slot == nullptr) return nullptr;
  next_ = (next_ + 1) & mask_;
  ++taken_;
  return slot;
}

void RingSlots::give_back() {
  for (; taken_ > 0; --taken_) {
    status_of(at((next_ - taken_) & mask_)).store(TP_STATUS_KERNEL, std::memory_order_release);
  }
}

Result<int> open_ring_socket(int type) {
  // Protocol 0: nothing arrives before bind_ring_socket(). A packet that came before the ring
  // exists would stand in the receive queue, where only copies of ring packets may be.
  Descriptor socket{::socket(AF_PACKET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket.open()) return system_error("opening a packet socket");
  const int version = TPACKET_V2;
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0) {
    return system_error("choosing the packet ring's version");
  }
  if (const Status closed = attach_filter(socket.get(), closed_filter()); !closed) {
    return closed.error();
  }
  return socket.release();
}

Status bind_ring_socket(int socket, int interface_index) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = interface_index;
  if (bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("binding a packet socket to the capture interface");
  }
  return ok_status();
}

uint64_t read_ring_drops(int socket) {
  tpacket_stats stats{};
  socklen_t size = sizeof stats;
  if (getsockopt(socket, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) return 0;
  return stats.tp_drops;
}

void clear_socket_error(int socket) {
  int error = 0;
  socklen_t size = sizeof error;
  (void)getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size);
}

}  // namespace flowsieve
