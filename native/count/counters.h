// One list per vocabulary: each line below yields the enumerator, the name that `status`, the
// metrics and the logs use, and the sentence in the documentation. The addon exports the lists; a
// test holds docs/ against them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace flowsieve {

// Why a packet was not decided or not delivered. X(enumerator, name, malformed, text)
// clang-format off
#define FLOWSIEVE_DROPS(X)                                                                                              \
  X(FrameShort,        frameShort,        true,  "the frame ends inside its link header")                               \
  X(LinkTags,          linkTags,          true,  "more VLAN tags than are walked")                                      \
  X(IpVersion,         ipVersion,         true,  "the IP header's version is neither 4 nor 6")                          \
  X(IpHeader,          ipHeader,          true,  "the IP header is shorter than its own minimum or than it says")       \
  X(IpLength,          ipLength,          true,  "the IP length is beyond the packet or shorter than the header")       \
  X(ExtensionHeader,   extensionHeader,   true,  "an IPv6 extension header or AH ends outside the packet")              \
  X(ExtensionLimit,    extensionLimit,    true,  "more extension headers than are walked")                              \
  X(TransportShort,    transportShort,    true,  "the packet ends inside its transport header")                         \
  X(TcpOffset,         tcpOffset,         true,  "the TCP data offset is less than five words")                         \
  X(FragmentLength,    fragmentLength,    true,  "a fragment is empty, unaligned or ends beyond 65535 bytes")           \
  X(QuoteUnusable,     quoteUnusable,     false, "an ICMP error quotes nothing that names a connection")                \
  X(CutShort,          cutShort,          false, "the snap length cut off the headers needed")                          \
  X(FragmentHeldFull,  fragmentHeldFull,  false, "a later fragment came first and the hold for those is full")          \
  X(FragmentExpired,   fragmentExpired,   false, "a held fragment's first fragment did not come in time")               \
  X(RingTruncated,     ringTruncated,     false, "the ring could not hold the whole packet")                            \
  X(RingFull,          ringFull,          false, "the kernel found no room in the ring")                                \
  X(DeliverFailed,     deliverFailed,     false, "the delivery device refused the packet")                              \
  X(HoldFull,          holdFull,          false, "a packet had to wait for a handover and the hold was full")           \
  X(HoldExpired,       holdExpired,       false, "a packet waited for a handover longer than is allowed")               \
  X(LeaseOver,         leaseOver,         false, "this node's to answer, but its lease had run out")                    \
  X(Refused,           refused,           false, "a rule refuses the packet, and no connection is known that it belongs to")   \
  X(HopUnknown,        hopUnknown,        false, "dispatcher: the link address of the way to the node is not known")    \
  X(TooBig,            tooBig,            false, "dispatcher: too large for the way to the node, and not to be split")  \
  X(ForwardUnfit,      forwardUnfit,      false, "dispatcher: headers that nobody can encapsulate or split")            \
  X(ForwardLoop,       forwardLoop,       false, "dispatcher: the frame was forwarded to its node already")
// clang-format on

enum class Drop : uint8_t {
  kNone,
#define FLOWSIEVE_X(enumerator, name, malformed, text) k##enumerator,
  FLOWSIEVE_DROPS(FLOWSIEVE_X)
#undef FLOWSIEVE_X
};

struct DropInfo {
  std::string_view name;
  bool malformed;
  std::string_view text;
};

// clang-format off
inline constexpr std::array kDropInfo = {
    DropInfo{"none", false, "not dropped"},
#define FLOWSIEVE_X(enumerator, name, malformed, text) DropInfo{#name, malformed, text},
    FLOWSIEVE_DROPS(FLOWSIEVE_X)
#undef FLOWSIEVE_X
};
// clang-format on
inline constexpr size_t kDropCount = kDropInfo.size();

inline constexpr const DropInfo& info(Drop drop) {
  return kDropInfo[static_cast<size_t>(drop)];
}
inline constexpr bool is_malformed(Drop drop) {
  return info(drop).malformed;
}

// Everything else that a worker counts. X(enumerator, name, text)
// clang-format off
#define FLOWSIEVE_COUNTERS(X)                                                                                           \
  X(Packets,            packets,            "frames received")                                                          \
  X(Bytes,              bytes,              "bytes received, link headers included")                                    \
  X(NonIp,              nonIp,              "frames that carry no IP")                                                  \
  X(Ip,                 ip,                 "IP packets")                                                               \
  X(Malformed,          malformed,          "malformed packets, all reasons together")                                  \
  X(Fragments,          fragments,          "IP fragments, first ones included")                                        \
  X(Control,            control,            "neighbour discovery, MLD, IGMP and other link-local control")              \
  X(Passed,             passed,             "IP packets that are not the cluster's")                                    \
  X(PassedByRule,       passedByRule,       "packets to cluster addresses that a rule leaves to every node's kernel")    \
  X(PassedOn,           passedOn,           "of these, what the guard cannot tell apart and was delivered therefore")   \
  X(Class1,             class1,             "opening, bucket is mine: delivered")                                       \
  X(Class2,             class2,             "connection in the own table: delivered")                                   \
  X(Class3,             class3,             "opening, bucket is another's: discarded")                                  \
  X(Class4,             class4,             "connection in the others table: discarded")                                \
  X(Class5,             class5,             "unknown, bucket is mine: delivered")                                       \
  X(Class6,             class6,             "unknown, bucket is another's: discarded")                                  \
  X(Delivered,          delivered,          "packets delivered")                                                        \
  X(DeliveredBytes,     deliveredBytes,     "IP bytes delivered")                                                       \
  X(Reserved,           reserved,           "packets to what the configuration gives to one node: its addresses and ports")         \
  X(Discarded,          discarded,          "packets of other nodes")                                                   \
  X(DiscardedBytes,     discardedBytes,     "IP bytes of other nodes")                                                  \
  X(Bypassed,           bypassed,           "of the discarded packets, those that a program in the kernel discarded")   \
  X(DeliveredByKernel,  deliveredByKernel,  "of the delivered packets, those that a program in the kernel delivered")   \
  X(Watched,            watched,            "packets that this node sent from a cluster address")                       \
  X(ErrorsFollowed,     errorsFollowed,     "ICMP errors that followed the connection they quote")                      \
  X(ErrorsByBucket,     errorsByBucket,     "ICMP errors of unknown connections, decided by bucket")                    \
  X(Opened,             opened,             "connections entered into a table by an opening packet")                    \
  X(Midstream,          midstream,          "connections entered into a table by another packet")                       \
  X(Expired,            expired,            "connections that left a table by timeout")                                 \
  X(Reopened,           reopened,           "closed connections whose key an opening packet used again")                \
  X(Moved,              moved,              "reopened connections whose owner changed")                                 \
  X(OpeningUntracked,   openingUntracked,   "opening packets decided but not entered: openings fill their share")       \
  X(FullUntracked,      fullUntracked,      "packets decided but not entered: the table is full")                       \
  X(Evicted,            evicted,            "opening or closed entries that gave their place")                          \
  X(FragmentsHeld,      fragmentsHeld,      "later fragments held until their first fragment came")                     \
  X(FragmentsForgotten, fragmentsForgotten, "datagrams forgotten before their time, to make room for others")           \
  X(SuperPackets,       superPackets,       "GRO/TSO super-packets received")                                           \
  X(ResolutionAnswered, resolutionAnswered, "ARP requests and neighbour solicitations answered")                        \
  X(Held,               held,               "packets of unknown connections that waited for a handover")                \
  X(HeldOpened,         heldOpened,         "held packets that became this node's by their bucket")                     \
  X(HeldFollowed,       heldFollowed,       "held packets whose connection turned out to be known, or another's")       \
  X(Contested,          contested,          "connections opened while a handover moved their bucket")                   \
  X(ContestedUnlisted,  contestedUnlisted,  "contested connections for which their list had no room")                   \
  X(Adopted,            adopted,            "connections of dead nodes that went to the owners of their buckets")       \
  X(Recalled,           recalled,           "opening packets left to a node that died, or refused without a lease, delivered afterwards") \
  X(Expected,           expected,           "packets of unknown connections that an expectation gave to its owner")     \
  X(QuicById,           quicById,           "packets to a QUIC port that were the node's whom their connection id names")       \
  X(QuicMigrated,       quicMigrated,       "those that made an entry for a four-tuple that was unknown")                       \
  X(QuicElsewhere,      quicElsewhere,      "those whose four-tuple has an entry of another node's, which stayed as it is")     \
  X(QuicClientChosen,   quicClientChosen,   "packets to a QUIC port by four-tuple: the client has chosen the id, or may have")  \
  X(QuicUnconfigured,   quicUnconfigured,   "packets to a QUIC port by four-tuple: no configuration has the id's config id")    \
  X(QuicLength,         quicLength,         "packets to a QUIC port by four-tuple: the id is too short, or not as long as it says") \
  X(QuicNobody,         quicNobody,         "packets to a QUIC port by four-tuple: the id names no living member")     \
  X(OsChecked,          osChecked,          "own connections compared with the operating system's list")                \
  X(OsDropped,          osDropped,          "own connections dropped: they have no socket any more")                    \
  X(OsClosed,           osClosed,           "own connections without a socket that stay, as other nodes may know them") \
  X(OsRestored,         osRestored,         "connections entered because the operating system has them open")           \
  X(OsUnmatched,        osUnmatched,        "open sockets of connections that are not this node's by table or bucket")   \
  X(Forwarded,          forwarded,          "dispatcher: packets forwarded to their nodes")                              \
  X(ForwardedBytes,     forwardedBytes,     "dispatcher: IP bytes forwarded")                                           \
  X(StoodBy,            stoodBy,            "dispatcher: packets left to the active dispatcher")                        \
  X(Split,              split,              "dispatcher: packets that were split on their way")                         \
  X(TooBigSent,         tooBigSent,         "dispatcher: ICMP errors sent to say that a packet was too big")            \
  X(TooBigLimited,      tooBigLimited,      "dispatcher: such errors not sent, for their rate or for want of a way")
// clang-format on

enum class Count : uint8_t {
#define FLOWSIEVE_X(enumerator, name, text) k##enumerator,
  FLOWSIEVE_COUNTERS(FLOWSIEVE_X)
#undef FLOWSIEVE_X
};

struct CounterInfo {
  std::string_view name;
  std::string_view text;
};

inline constexpr std::array kCounterInfo = {
#define FLOWSIEVE_X(enumerator, name, text) CounterInfo{#name, text},
    FLOWSIEVE_COUNTERS(FLOWSIEVE_X)
#undef FLOWSIEVE_X
};
inline constexpr size_t kCounterCount = kCounterInfo.size();

/// One worker's counters. Only that worker writes them; everybody else gets copies, made by the
/// worker between blocks.
struct Counters {
  std::array<uint64_t, kCounterCount> counts{};
  std::array<uint64_t, kDropCount> drops{};

  void add(Count counter, uint64_t by = 1) { counts[static_cast<size_t>(counter)] += by; }
  void drop(Drop reason, uint64_t by = 1) { drops[static_cast<size_t>(reason)] += by; }
  uint64_t operator[](Count counter) const { return counts[static_cast<size_t>(counter)]; }
  uint64_t operator[](Drop reason) const { return drops[static_cast<size_t>(reason)]; }

  Counters& operator+=(const Counters& other) {
    for (size_t i = 0; i < kCounterCount; ++i) counts[i] += other.counts[i];
    for (size_t i = 0; i < kDropCount; ++i) drops[i] += other.drops[i];
    return *this;
  }
};

}  // namespace flowsieve
