// The decision a second time, for the differential test: written from section 2 of the design
// (../shared/design.md) alone, with maps and sentences, as simply as it goes. Knows nothing of
// slots, wheels, bursts or bytes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace plain {

enum class Status { kOpening, kEstablished, kClosing };

/// What a bystander reads from a packet. `connection` names client and server, however
/// the packet runs.
struct Packet {
  std::string connection;
  std::string protocol;         ///< "tcp", "udp", "sctp", "icmp", "other"
  bool from_this_node = false;  ///< watched
  bool is_error = false;        ///< an ICMP error that quotes the connection
  bool syn = false, ack = false, fin = false, rst = false;
  bool init = false, abort_or_shutdown_complete = false;
  bool echo_reply = false;
  int id_of_node = -1;  ///< the node that its QUIC connection id names; -1: none
};

struct Entry {
  std::string protocol;
  int owner;
  Status status;
  long last_seen;            ///< tenths of a second
  long opened;               ///< the same: when it was entered
  bool midstream;            ///< not by an opening packet
  bool from_list = false;    ///< made or completed by a list
  bool confirmed = false;    ///< a list named it
  int epoch = 0;             ///< of the allocation when it was entered
  bool closed_here = false;  ///< by a packet
};

struct Answer {
  std::string verdict;  ///< "deliver", "discard", "pass"
  int packet_class = 0;
};

class Node {
 public:
  int self = 0;
  bool tracking_own = false;
  bool monitoring = true;
  size_t opening_max = SIZE_MAX;
  int epoch = 0;
  std::vector<int> owner_of_bucket;
  std::function<int(const std::string& connection)> bucket_of;
  std::map<std::string, Entry> table;

  Answer see(const Packet& packet, long now);
  /// A handover's list names `owner` for an established connection.
  void import(const Packet& packet, int owner, long now);

 private:
  void remove_timed_out(long now);
  void update(Entry& entry, const Packet& packet, long now) const;
  void insert(const Packet& packet, int owner, long now);
  Answer see_id(const Packet& packet, long now);
  bool is_outdated(const Entry& entry, const Packet& packet) const;
};

}  // namespace plain
