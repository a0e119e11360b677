#include "wire/detour.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "packet/packet.h"

namespace flowsieve {
namespace {

constexpr size_t kPacketMax = 65'536;
constexpr int kLookMs = 200;  // for what has been kept for too long
constexpr uint8_t kTcpProtocol = 6;

Result<Descriptor> make_device(const std::string& name) {
  Descriptor device{::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)};
  if (!device.open()) return system_error("opening /dev/net/tun");
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), size_t{IFNAMSIZ - 1}));
  // Without offload headers: what comes out is whole, in segments and with its checksums.
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(device.get(), TUNSETIFF, &request) != 0) {
    return system_error("creating the device '" + name + "'");
  }
  return device;
}

Result<Descriptor> open_tap(const std::string& interface, const std::vector<uint16_t>& ports) {
  const auto link = read_link(interface);
  if (!link) return link.error();
  Descriptor tap{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!tap.open()) return system_error("opening a packet socket");
  // Filter and direction first: the socket takes nothing before it is bound.
  if (Status attached = attach_filter(tap.get(), control_filter(ports)); !attached) {
    return attached.error();
  }
  const int yes = 1;
  if (setsockopt(tap.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) != 0) {
    return system_error("leaving out what this node sends");
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = link.value().index;
  if (bind(tap.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("binding a packet socket to '" + interface + "'");
  }
  return tap;
}

Result<Descriptor> open_raw(int family, uint32_t mark) {
  Descriptor raw{::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW)};
  if (!raw.open()) return system_error("opening a raw socket");
  if (setsockopt(raw.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) {
    return system_error("marking what a raw socket sends");
  }
  return raw;
}

/// The TCP payload of an IP packet.
struct Segment {
  Packet packet;
  uint32_t sequence = 0;
  Bytes payload{};
  bool usable = false;
};

Segment read_segment(Bytes bytes) {
  constexpr size_t kTcpHeader = 20;
  Segment segment{.packet = parse(bytes, static_cast<uint32_t>(bytes.size), LinkType::kRawIp)};
  const Packet& packet = segment.packet;
  const bool tcp = packet.drop == Drop::kNone && packet.kind == Kind::kFlow &&
                   packet.flow.protocol == kTcpProtocol && !packet.is_fragment;
  const size_t at = packet.transport_offset;
  if (!tcp || at == 0 || !bytes.has(at, kTcpHeader)) return segment;
  const size_t header = size_t{bytes.data[at + 12]} / 16 * 4;
  const size_t end = std::min(bytes.size, size_t{packet.ip_offset} + packet.ip_bytes);
  if (header < kTcpHeader || at + header > end) return segment;
  segment.sequence = load_be32(bytes.data + at + 4);
  segment.payload = bytes.first(end).from(at + header);
  segment.usable = true;
  return segment;
}

}  // namespace

Program control_filter(const std::vector<uint16_t>& ports) {
  Assembler code;
  const auto ipv6 = code.label(), accept = code.label(), reject = code.label();
  code.load(BPF_B, 0);
  code.op(BPF_ALU | BPF_AND | BPF_K, 0xf0);
  code.jump_if(BPF_JEQ, 0x60, ipv6);
  code.load(BPF_B, 9);
  code.jump_unless(BPF_JEQ, kTcpProtocol, reject);
  code.load(BPF_H, 6);
  code.jump_if(BPF_JSET, 0x3fff, reject);  // a fragment
  code.op(BPF_LDX | BPF_B | BPF_MSH, 0);
  code.load(BPF_H, 2, true);
  for (const uint16_t port : ports) code.jump_if(BPF_JEQ, port, accept);
  code.jump(reject);
  code.place(ipv6);
  code.skip_extension_headers(kExtensionHeadersMax);
  code.jump_unless(BPF_JEQ, kTcpProtocol, reject);
  code.load(BPF_H, 2, true);
  for (const uint16_t port : ports) code.jump_if(BPF_JEQ, port, accept);
  code.place(reject);
  code.op(BPF_RET | BPF_K, 0);
  code.place(accept);
  code.op(BPF_RET | BPF_K, kPacketMax);
  return code.finish();
}

FtpDetour::FtpDetour(const DetourOptions& options, OnData on_data)
    : options_(options), on_data_(std::move(on_data)) {}

Result<std::unique_ptr<FtpDetour>> FtpDetour::open(const DetourOptions& options, OnData on_data) {
  if (options.ports.empty() || options.ports.size() > kPortsMax) {
    return Error{ErrorCode::kArgument,
                 "Expected 1 to 16 ports of control connections but received " +
                     std::to_string(options.ports.size()) + "."};
  }
  std::unique_ptr<FtpDetour> detour(new FtpDetour(options, std::move(on_data)));
  const auto take = [](Result<Descriptor> opened, Descriptor& into) -> Status {
    if (!opened) return opened.error();
    into = std::move(opened.value());
    return ok_status();
  };
  if (Status made = take(make_device(options.device), detour->tun_); !made) return made.error();
  if (Status made = take(open_tap(options.tap, options.ports), detour->tap_); !made) {
    return made.error();
  }
  if (Status made = take(open_raw(AF_INET, options.mark), detour->raw4_); !made)
    return made.error();
  if (Status made = take(open_raw(AF_INET6, options.mark), detour->raw6_); !made) {
    return made.error();
  }
  detour->wake_ = Descriptor{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!detour->wake_.open()) return system_error("making an event descriptor");
  if (Status started = detour->start(); !started) return started.error();
  return detour;
}

Status FtpDetour::start() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return Error{ErrorCode::kSystem,
                 std::string("Expected a thread for the detour but received: ") + error.what()};
  }
  pthread_setname_np(thread_.native_handle(), "flowsieve-ftp");
  return ok_status();
}

FtpDetour::~FtpDetour() {
  stopping_.store(true, std::memory_order_relaxed);
  const uint64_t one = 1;
  if (wake_.open()) [[maybe_unused]]
    const ssize_t written = write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
}

void FtpDetour::release(uint64_t token) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    released_.push_back(token);
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

DetourCounts FtpDetour::counts() const {
  constexpr auto order = std::memory_order_relaxed;
  return {announced_.load(order), foreign_.load(order), kept_.load(order), expired_.load(order),
          dropped_.load(order)};
}

void FtpDetour::run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    pollfd descriptors[] = {
        {tap_.get(), POLLIN, 0}, {tun_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    poll(descriptors, std::size(descriptors), kLookMs);
    uint64_t woken = 0;
    [[maybe_unused]] const ssize_t got = read(wake_.get(), &woken, sizeof woken);
    release_all();
    read_tap();
    read_detour();
    expire(monotonic_ns());
  }
  release_all();
  while (!waiting_.empty()) let_go(waiting_.begin()->first);
}

void FtpDetour::read_tap() {
  static thread_local std::vector<uint8_t> buffer(kPacketMax);
  for (;;) {
    const ssize_t size = recv(tap_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    look_at_client({buffer.data(), static_cast<size_t>(size)});
  }
}

void FtpDetour::read_detour() {
  static thread_local std::vector<uint8_t> buffer(kPacketMax);
  for (;;) {
    const ssize_t size = read(tun_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return;
    // What the client has said before comes first.
    read_tap();
    const Bytes packet{buffer.data(), static_cast<size_t>(size)};
    if (!keeps(packet)) send(packet);
  }
}

void FtpDetour::look_at_client(Bytes bytes) {
  const Segment segment = read_segment(bytes);
  const Key& key = segment.packet.flow;
  if (!segment.usable || !is_control(key.destination_port) || !is_cluster(key.destination)) return;
  if (segment.packet.tcp_flags & kTcpSyn) {
    const auto known = connections_.find(key);
    if (known != connections_.end()) known->second.control = FtpControl{};
    connection(key).control.begin_client(segment.sequence + 1);
    return;
  }
  if (segment.payload.size == 0) return;
  std::vector<FtpData> found;
  connection(key).control.from_client(segment.sequence, segment.payload, found);
  announce(key, found);
}

/// Reads what the server sends; true when it must not go on yet, and has been kept.
bool FtpDetour::keeps(Bytes bytes) {
  const Segment segment = read_segment(bytes);
  if (!segment.usable) return false;
  const Key key = reversed(segment.packet.flow);  // from the client to the server
  const uint8_t flags = segment.packet.tcp_flags;
  if (is_control(key.destination_port)) {
    if (flags & kTcpSyn) {
      connection(key).control.begin_server(segment.sequence + 1);
      return false;
    }
    if (flags & kTcpRst) {
      const auto known = connections_.find(key);
      if (known != connections_.end() && known->second.waits == 0) connections_.erase(known);
      return false;
    }
    std::vector<FtpData> found;
    connection(key).control.from_server(segment.sequence, segment.payload, found);
    announce(key, found);
    Connection& control = connection(key);
    if (control.waits == 0) return false;
    hold(control.held, bytes);
    return true;
  }
  if (!(flags & kTcpSyn)) return false;
  for (auto& [token, waiting] : waiting_) {
    const Key& data = waiting.data;
    if (waiting.passive || data.source != key.source || data.source_port != key.source_port ||
        data.destination != key.destination) {
      continue;
    }
    hold(waiting.held, bytes);
    return true;
  }
  return false;
}

/// Whoever announces a data connection has both its ends, but for the cluster's other addresses.
/// Of an active one the client might name somebody else (RFC 2577).
void FtpDetour::announce(const Key& control, const std::vector<FtpData>& found) {
  for (const FtpData& data : found) {
    Key key;
    key.protocol = kTcpProtocol;
    key.family = control.family;
    key.source = control.source;
    key.destination = control.destination;
    bool ours = true;
    if (data.passive) {
      if (data.address) key.destination = *data.address;
      key.destination_port = data.port;
      ours = is_cluster(key.destination);
    } else {
      key.source_port = data.port;
      ours = data.address == control.source;
    }
    if (!ours) {
      foreign_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    const uint64_t token = ++tokens_;
    if (data.passive) ++connection(control).waits;
    waiting_[token] = {.control = control,
                       .data = key,
                       .passive = data.passive,
                       .since_ns = monotonic_ns(),
                       .held = {}};
    announced_.fetch_add(1, std::memory_order_relaxed);
    on_data_({token, key});
  }
}

void FtpDetour::let_go(uint64_t token) {
  const auto found = waiting_.find(token);
  if (found == waiting_.end()) return;
  Waiting waiting = std::move(found->second);
  waiting_.erase(found);
  flush(waiting.held);
  if (!waiting.passive) return;
  const auto control = connections_.find(waiting.control);
  if (control == connections_.end() || control->second.waits == 0) return;
  if (--control->second.waits == 0) flush(control->second.held);
}

void FtpDetour::release_all() {
  std::vector<uint64_t> released;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    released.swap(released_);
  }
  for (const uint64_t token : released) let_go(token);
}

void FtpDetour::expire(uint64_t now_ns) {
  while (!waiting_.empty()) {
    // Tokens grow with time: the first is the oldest.
    const auto& [token, waiting] = *waiting_.begin();
    if (now_ns < waiting.since_ns + kHoldMax) return;
    expired_.fetch_add(1, std::memory_order_relaxed);
    let_go(token);
  }
}

void FtpDetour::hold(std::deque<PacketBytes>& queue, Bytes packet) {
  if (held_ >= kHeldMax) {
    dropped_.fetch_add(1, std::memory_order_relaxed);  // its sender repeats it
    return;
  }
  ++held_;
  kept_.fetch_add(1, std::memory_order_relaxed);
  queue.emplace_back(packet.data, packet.data + packet.size);
}

void FtpDetour::flush(std::deque<PacketBytes>& queue) {
  for (const PacketBytes& packet : queue) send({packet.data(), packet.size()});
  held_ -= queue.size();
  queue.clear();
}

void FtpDetour::send(Bytes packet) {
  ssize_t sent = -1;
  if (packet.size >= 40 && packet.data[0] >> 4 == 6) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    std::memcpy(&to.sin6_addr, packet.data + 24, 16);
    sent = sendto(raw6_.get(), packet.data, packet.size, 0, reinterpret_cast<sockaddr*>(&to),
                  sizeof to);
  } else if (packet.size >= 20) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    std::memcpy(&to.sin_addr, packet.data + 16, 4);
    sent = sendto(raw4_.get(), packet.data, packet.size, 0, reinterpret_cast<sockaddr*>(&to),
                  sizeof to);
  }
  if (sent < 0) dropped_.fetch_add(1, std::memory_order_relaxed);
}

/// The one that was silent for longest gives its place, unless something waits in it.
FtpDetour::Connection& FtpDetour::connection(const Key& control) {
  const auto known = connections_.find(control);
  if (known == connections_.end() && connections_.size() >= kConnectionsMax) {
    const auto oldest = std::min_element(
        connections_.begin(), connections_.end(), [](const auto& one, const auto& other) {
          return std::pair(one.second.waits, one.second.last_ns) <
                 std::pair(other.second.waits, other.second.last_ns);
        });
    flush(oldest->second.held);
    connections_.erase(oldest);
  }
  Connection& found = known != connections_.end() ? known->second : connections_[control];
  found.last_ns = monotonic_ns();
  return found;
}

bool FtpDetour::is_control(uint16_t port) const {
  return std::find(options_.ports.begin(), options_.ports.end(), port) != options_.ports.end();
}

bool FtpDetour::is_cluster(const Address& address) const {
  return std::find(options_.addresses.begin(), options_.addresses.end(), address) !=
         options_.addresses.end();
}

}  // namespace flowsieve
