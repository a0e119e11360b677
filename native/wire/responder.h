// Answers "who has the cluster address?" with the cluster MAC: ARP for IPv4 (RFC 826, with
// the probes of RFC 5227), neighbour solicitations for IPv6 (RFC 4861, with duplicate
// address detection).
//
//   Ethernet  to the asker, from the node's OWN address: a switch must never learn where the
//             cluster MAC is
//   ARP       reply, sender hardware address = cluster MAC
//   NDP       neighbour advertisement, override, solicited (or to all nodes, when the asker has no
//             address yet), target link-layer address option = cluster MAC, hop limit 255
//
// VLAN tags of a question, in the frame or taken out by the kernel, are repeated in the answer. All
// nodes of the cluster answer, and all say the same.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/status.h"
#include "wire/link.h"
#include "wire/source.h"

namespace flowsieve {

/// Who answers for what.
struct Resolution {
  Mac own{};      ///< the interface's own address: the Ethernet source of everything that is sent
  Mac cluster{};  ///< the answer
  std::vector<Address> addresses;
  bool router = false;  ///< the cluster forwards, and its advertisements say so (RFC 4861 4.4)
};

/// Ethernet with tags (one of them perhaps taken out), IPv6, a neighbour advertisement
/// with one option.
inline constexpr size_t kResolutionFrameMax = 14 + 4 * (kLinkTagsMax + 1) + 40 + 24 + 8;
using ResolutionFrame = std::array<uint8_t, kResolutionFrameMax>;

enum class Asked : uint8_t {
  kNothing,    ///< no question, or one that is not about a cluster address
  kMalformed,  ///< about address resolution, but not as the RFCs have it: to be ignored
  kAnswered,   ///< `answer` holds the answer
};

/// The pure half: reads `frame` and writes the answer, `bytes` long.
Asked answer_resolution(const Resolution& resolution, const Frame& frame, ResolutionFrame& answer,
                        size_t& bytes);

/// What tells a neighbourhood the cluster MAC of `address` without being asked: an ARP announcement
/// (RFC 5227 2.3) or an unsolicited advertisement (RFC 4861 7.2.6). Returns its length.
size_t write_announcement(const Resolution& resolution, const Address& address,
                          ResolutionFrame& frame);
/// What finds out whether somebody has `address`, without claiming it: an ARP probe (RFC
/// 5227 2.1.1) or a neighbour solicitation from the unspecified address (RFC 4862 5.4.2).
size_t write_probe(const Resolution& resolution, const Address& address, ResolutionFrame& frame);
/// True when `frame` (ARP of either kind, or an advertisement) says that one of the cluster
/// addresses has another MAC than the cluster's: `address` and `mac` tell which.
bool read_claim(const Resolution& resolution, const Frame& frame, Address& address, Mac& mac);

/// Tells where the cluster addresses are also when nobody asks.
class AnnouncingResponder : public Responder {
 public:
  /// Announces every cluster address once.
  virtual Status announce() = 0;
};

/// One per worker: it has a socket of its own and is not shared.
class LinkResponder : public AnnouncingResponder {
 public:
  static Result<std::unique_ptr<LinkResponder>> open(const std::string& interface,
                                                     const Mac& cluster_mac,
                                                     const std::vector<Address>& addresses,
                                                     bool router = false);
  bool answer(const Frame& frame) override;
  Status announce() override;
  /// Questions that were ignored because they were malformed.
  uint64_t malformed() const { return malformed_; }

 private:
  LinkResponder(Descriptor socket, Resolution resolution)
      : socket_(std::move(socket)), resolution_(std::move(resolution)) {}

  Descriptor socket_;
  Resolution resolution_;
  uint64_t malformed_ = 0;
};

/// Somebody on the link who has, or claims, a cluster address with a MAC of its own.
struct Clash {
  Address address{};
  Mac mac{};
};

/// Asks the link for every cluster address and listens for `wait_ms`: any answer or claim
/// that does not say the cluster MAC. Each pair of address and MAC comes once. Blocks; not
/// for the packet path.
Result<std::vector<Clash>> find_clashes(const std::string& interface,
                                        const std::vector<Address>& addresses,
                                        const Mac& cluster_mac, int wait_ms);

}  // namespace flowsieve
