// Heartbeats on the capture interface: small raw frames between the nodes, to the cluster MAC. That
// they arrive proves that this path works, for frames that no kernel would forward or answer.
//
//   0             6        12       14       16
//   | cluster MAC | own MAC | 0x88B5 | length | payload ...      | padding |
//                                      ^ of the payload, network order: frames shorter than 60
//                                        bytes are padded on the way
//
// 0x88B5 is the EtherType that IEEE 802 leaves to local experiments; others may use it too. So
// everything that comes is looked at with mistrust: what is not addressed to the cluster MAC or has
// no length that fits is dropped and counted. What a payload says, and whether a node of this
// cluster wrote it, is for those above to find out.
//
// One thread waits for frames and hands them on. An interface that goes down and up again is
// no matter; one that was deleted and made anew is another interface.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "base/status.h"
#include "wire/link.h"

namespace flowsieve {

inline constexpr uint16_t kChannelEtherType = 0x88b5;
inline constexpr size_t kChannelPayloadMax = 1480;

/// The payload of a frame that came, or nothing (size 0) when it is none of a channel to `to`.
Bytes read_channel_frame(Bytes frame, const Mac& to);

struct ChannelCounts {
  uint64_t received = 0;
  uint64_t foreign = 0;  ///< dropped: not to the cluster MAC, or without a length that fits
};

class WireChannel {
 public:
  /// Called by the channel's own thread; the payload dies with the call.
  using OnFrame = std::function<void(Bytes payload, const Mac& source)>;

  /// Joins `link_address` on the interface and begins to receive.
  static Result<std::unique_ptr<WireChannel>> open(const std::string& interface,
                                                   const Mac& link_address, OnFrame on_frame);
  /// Ends the thread; `on_frame` is not called any more when it returns.
  ~WireChannel();
  WireChannel(const WireChannel&) = delete;
  WireChannel& operator=(const WireChannel&) = delete;

  /// One frame with 1 to kChannelPayloadMax bytes; false when it could not be sent (interface down,
  /// queue full, a size that does not fit). Any thread; never waits.
  bool send(Bytes payload) const;
  /// Any thread.
  ChannelCounts counts() const;

 private:
  WireChannel(const Mac& link_address, const LinkInfo& link, OnFrame on_frame);
  Status start();
  void run();
  void receive();

  Mac link_address_;
  LinkInfo link_;
  OnFrame on_frame_;
  std::unique_ptr<Membership> membership_;
  Descriptor socket_;
  Descriptor stop_;  ///< readable: the thread is to end
  std::atomic<uint64_t> received_{0}, foreign_{0};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace flowsieve
