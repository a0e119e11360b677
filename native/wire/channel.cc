#include "wire/channel.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <system_error>
#include <utility>

#include "wire/ring_slots.h"

namespace flowsieve {

namespace {

constexpr size_t kLinkHeader = 14;
constexpr size_t kHeader = kLinkHeader + 2;  // the length
constexpr size_t kFrameMin = 60;             // without the check sum

Result<Descriptor> open_channel_socket(const LinkInfo& link) {
  // Protocol 0 until the bind: otherwise frames of all interfaces would come in between.
  Descriptor socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket.open()) return system_error("opening a packet socket");
  const int yes = 1;
  if (setsockopt(socket.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof yes) != 0) {
    return system_error("leaving out what this node sends");
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(kChannelEtherType);
  address.sll_ifindex = link.index;
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error("binding a packet socket to the capture interface");
  }
  return socket;
}

}  // namespace

Bytes read_channel_frame(Bytes frame, const Mac& to) {
  if (!frame.has(0, kHeader) || std::memcmp(frame.data, to.data(), to.size()) != 0 ||
      load_be16(frame.data + 12) != kChannelEtherType) {
    return {};
  }
  const size_t length = load_be16(frame.data + kLinkHeader);
  if (length > kChannelPayloadMax || !frame.has(kHeader, length)) return {};
  return frame.from(kHeader).first(length);
}

Result<std::unique_ptr<WireChannel>> WireChannel::open(const std::string& interface,
                                                       const Mac& link_address, OnFrame on_frame) {
  const Result<LinkInfo> link = read_link(interface);
  if (!link) return link.error();
  if (!link.value().ethernet) {
    return Error{ErrorCode::kArgument,
                 "Expected an Ethernet interface for heartbeats but received '" + interface + "'."};
  }
  std::unique_ptr<WireChannel> channel(
      new WireChannel(link_address, link.value(), std::move(on_frame)));
  if (const Status started = channel->start(); !started) return started.error();
  return channel;
}

WireChannel::WireChannel(const Mac& link_address, const LinkInfo& link, OnFrame on_frame)
    : link_address_(link_address), link_(link), on_frame_(std::move(on_frame)) {}

Status WireChannel::start() {
  Result<Membership> joined = Membership::join(link_, {link_address_});
  if (!joined) return joined.error();
  membership_ = std::make_unique<Membership>(std::move(joined.value()));
  Result<Descriptor> socket = open_channel_socket(link_);
  if (!socket) return socket.error();
  socket_ = std::move(socket.value());
  stop_ = Descriptor(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!stop_.open()) return system_error("making an event descriptor");
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    return Error{
        ErrorCode::kSystem,
        std::string("Expected a thread for heartbeats but received: ") + error.what() + "."};
  }
  pthread_setname_np(thread_.native_handle(), "flowsieve-beat");
  return ok_status();
}

WireChannel::~WireChannel() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof one);
  thread_.join();
}

bool WireChannel::send(Bytes payload) const {
  if (payload.size == 0 || payload.size > kChannelPayloadMax) return false;
  std::array<uint8_t, kHeader + kChannelPayloadMax> frame{};
  std::memcpy(frame.data(), link_address_.data(), link_address_.size());
  std::memcpy(frame.data() + 6, link_.mac.data(), link_.mac.size());
  store_be16(frame.data() + 12, kChannelEtherType);
  store_be16(frame.data() + kLinkHeader, static_cast<uint16_t>(payload.size));
  std::memcpy(frame.data() + kHeader, payload.data, payload.size);
  const size_t bytes = std::max(kFrameMin, kHeader + payload.size);
  return ::send(socket_.get(), frame.data(), bytes, MSG_DONTWAIT) == static_cast<ssize_t>(bytes);
}

ChannelCounts WireChannel::counts() const {
  return {received_.load(std::memory_order_relaxed), foreign_.load(std::memory_order_relaxed)};
}

void WireChannel::run() {
  for (;;) {
    pollfd descriptors[] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(descriptors, std::size(descriptors), -1) < 0) continue;  // interrupted
    if (descriptors[1].revents != 0) return;
    // An interface that went down leaves an error behind, which would wake us for ever.
    if ((descriptors[0].revents & POLLERR) != 0) clear_socket_error(socket_.get());
    receive();
  }
}

/// All that is there; no more than a flood's worth, so that the end is not overheard.
void WireChannel::receive() {
  constexpr int kFramesMax = 256;
  std::array<uint8_t, kHeader + kChannelPayloadMax> frame;
  for (int i = 0; i < kFramesMax; ++i) {
    // With MSG_TRUNC the answer is the frame's real length, also when it is longer than we read.
    const ssize_t got = recv(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0) return;
    const size_t size = static_cast<size_t>(got);
    const Bytes payload =
        size > frame.size() ? Bytes{} : read_channel_frame({frame.data(), size}, link_address_);
    if (payload.size == 0) {
      foreign_.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    received_.fetch_add(1, std::memory_order_relaxed);
    Mac source;
    std::memcpy(source.data(), frame.data() + 6, source.size());
    on_frame_(payload, source);
  }
}

}  // namespace flowsieve
