#include "wire/tun.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire/offload.h"

namespace flowsieve {

namespace {

ifreq request_for(const std::string& device) {
  ifreq request{};
  std::memcpy(request.ifr_name, device.data(), std::min(device.size(), size_t{IFNAMSIZ - 1}));
  return request;
}

Result<Descriptor> open_queue(const std::string& device, bool first) {
  Descriptor queue{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  if (!queue.open()) return system_error("opening /dev/net/tun");
  ifreq request = request_for(device);
  int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  // The first queue makes the device; finding one means that somebody else has it.
  if (first) flags |= IFF_TUN_EXCL;
  request.ifr_flags = static_cast<short>(flags);
  if (ioctl(queue.get(), TUNSETIFF, &request) != 0) {
    if (first && errno == EBUSY) {
      return Error{ErrorCode::kState, "Expected no device named '" + device +
                                          "' yet but received one that is in use."};
    }
    return system_error("creating the device '" + device + "'");
  }
  return queue;
}

Status bring_up(const TunOptions& options) {
  const Descriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket.open()) return system_error("opening a socket");
  ifreq request = request_for(options.device);
  request.ifr_mtu = static_cast<int>(options.mtu);
  if (ioctl(socket.get(), SIOCSIFMTU, &request) != 0) {
    return system_error("setting the MTU of '" + options.device + "'");
  }
  request = request_for(options.device);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
    return system_error("reading the state of '" + options.device + "'");
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) {
    return system_error("bringing '" + options.device + "' up");
  }
  return ok_status();
}

}  // namespace

Result<std::vector<std::unique_ptr<TunDelivery>>> TunDelivery::open(const TunOptions& options,
                                                                    size_t workers) {
  if (options.device.empty() || options.device.size() >= IFNAMSIZ) {
    return Error{
        ErrorCode::kArgument,
        "Expected a device name of 1 to 15 characters but received '" + options.device + "'."};
  }
  std::vector<std::unique_ptr<TunDelivery>> queues;
  for (size_t i = 0; i < workers; ++i) {
    Result<Descriptor> queue = open_queue(options.device, i == 0);
    if (!queue) return queue.error();
    queues.push_back(std::unique_ptr<TunDelivery>(new TunDelivery(std::move(queue.value()))));
  }
  if (const Status up = bring_up(options); !up) return up.error();
  return queues;
}

bool strip_link_header(const OffloadHeader& offload, uint16_t ip_offset, uint32_t ip_bytes,
                       OffloadHeader& stripped) {
  stripped = OffloadHeader{};
  stripped.flags = offload.flags & (kNeedsChecksum | kChecksumValid);
  if ((offload.flags & kNeedsChecksum) != 0) {
    if (offload.csum_start < ip_offset) return false;
    stripped.csum_start = static_cast<uint16_t>(offload.csum_start - ip_offset);
    stripped.csum_offset = offload.csum_offset;
    if (uint32_t{stripped.csum_start} + stripped.csum_offset + 2 > ip_bytes) return false;
  }
  if (offload.gso_type != kNoSegmentation) {
    if (offload.hdr_len < ip_offset || offload.gso_size == 0) return false;
    stripped.gso_type = offload.gso_type;
    stripped.gso_size = offload.gso_size;
    stripped.hdr_len = static_cast<uint16_t>(
        std::min<uint32_t>(static_cast<uint32_t>(offload.hdr_len - ip_offset), ip_bytes));
  }
  return true;
}

size_t TunDelivery::deliver(std::span<const Accepted> packets) {
  size_t taken = 0;
  for (const Accepted& packet : packets) {
    const Frame& frame = *packet.frame;
    OffloadHeader offload;
    if (!frame.bytes.has(packet.ip_offset, packet.ip_bytes) ||
        !strip_link_header(frame.offload, packet.ip_offset, packet.ip_bytes, offload)) {
      continue;
    }
    const iovec parts[] = {
        {&offload, sizeof offload},
        {const_cast<uint8_t*>(frame.bytes.data + packet.ip_offset), packet.ip_bytes},
    };
    if (writev(queue_.get(), parts, 2) >= 0) ++taken;
  }
  return taken;
}

}  // namespace flowsieve
