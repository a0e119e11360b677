// The FTP helper's eyes and hands (docs/decisions/expected-connections.md): it reads the control
// connections that this node has, says which data connections they announce, and keeps back what
// would let the peer use one before all nodes know it.
//
//   delivery device --tap (copies)--> client's commands ---.
//                                                           +--> FtpControl --> OnData
//   detour device   --- server's segments, own SYN --------'
//          '--- kept until release(), or kHoldMax ---> raw socket, marked ---> the normal routes
//
// What the kernel routes through the detour device (marks and rules: lib/host/detour.ts) goes on
// unchanged and in order. A client's packet reaches the tap before it reaches the server, so a PORT
// has been read before the server's SYN that follows from it comes by here: the tap is emptied
// first.
//
// One thread of its own; nothing here is on the path of packets that are decided.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "packet/ftp.h"
#include "packet/key.h"
#include "wire/link.h"
#include "wire/ring_program.h"

namespace flowsieve {

struct DetourOptions {
  std::string device;              ///< to be made
  std::string tap;                 ///< the delivery device; its packets begin with the IP header
  uint32_t mark = 0;               ///< of what has taken the detour
  std::vector<uint16_t> ports;     ///< of control connections: 1 to kPortsMax
  std::vector<Address> addresses;  ///< the cluster's
};

/// A data connection is announced; it is waited for release(token).
struct Announced {
  uint64_t token = 0;
  /// From the client to the server; a port of 0 may be any.
  Key data;
};

struct DetourCounts {
  uint64_t announced = 0;  ///< data connections
  uint64_t foreign = 0;    ///< announced for somebody who is not the peer: not expected
  uint64_t held = 0;       ///< packets kept back
  uint64_t expired = 0;    ///< packets that went on after kHoldMax without a release
  uint64_t dropped = 0;    ///< packets that could not be kept, or not be sent on
};

class FtpDetour {
 public:
  static constexpr size_t kPortsMax = 16;
  static constexpr size_t kConnectionsMax = 1024;
  static constexpr size_t kHeldMax = 1024;  ///< packets, all connections together
  static constexpr uint64_t kHoldMax = 3'000'000'000;

  /// Called by the detour's own thread.
  using OnData = std::function<void(const Announced&)>;

  /// Makes the device and begins. kMissing where the tap's device is not there.
  static Result<std::unique_ptr<FtpDetour>> open(const DetourOptions& options, OnData on_data);
  /// Lets everything go that is kept, and ends the thread.
  ~FtpDetour();

  /// What was kept for this announcement goes on. Any thread; a token that is not known is nothing.
  void release(uint64_t token);
  DetourCounts counts() const;

 private:
  using PacketBytes = std::vector<uint8_t>;
  struct Connection {
    FtpControl control;
    uint64_t last_ns = 0;
    uint32_t waits = 0;  ///< announcements that have not been released
    std::deque<PacketBytes> held;
  };
  struct Waiting {
    Key control;
    Key data;
    bool passive = false;
    uint64_t since_ns = 0;
    std::deque<PacketBytes> held;  ///< the server's SYN
  };

  FtpDetour(const DetourOptions& options, OnData on_data);
  Status start();
  void run();
  void read_tap();
  void read_detour();
  void look_at_client(Bytes packet);
  bool keeps(Bytes packet);
  void announce(const Key& control, const std::vector<FtpData>& found);
  void let_go(uint64_t token);
  void release_all();
  void expire(uint64_t now_ns);
  void hold(std::deque<PacketBytes>& queue, Bytes packet);
  void flush(std::deque<PacketBytes>& queue);
  void send(Bytes packet);
  Connection& connection(const Key& control);
  bool is_control(uint16_t port) const;
  bool is_cluster(const Address& address) const;

  DetourOptions options_;
  OnData on_data_;
  Descriptor tun_, tap_, raw4_, raw6_, wake_;
  struct ByBytes {
    bool operator()(const Key& one, const Key& other) const {
      return std::memcmp(&one, &other, sizeof(Key)) < 0;
    }
  };
  std::map<Key, Connection, ByBytes> connections_;
  std::map<uint64_t, Waiting> waiting_;
  uint64_t tokens_ = 0;
  size_t held_ = 0;

  std::mutex mutex_;
  std::vector<uint64_t> released_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> announced_{0}, foreign_{0}, kept_{0}, expired_{0}, dropped_{0};
  std::thread thread_;  // last: it uses all of the above
};

/// Lets through unfragmented TCP to one of `ports`, on a device whose packets begin with the IP
/// header.
Program control_filter(const std::vector<uint16_t>& ports);

}  // namespace flowsieve
