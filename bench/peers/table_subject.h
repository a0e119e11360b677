// A table of connections as the table room sees it. All subjects do the same work on the same
// memory of a connection:
//
//   | key 40 bytes | state 24 bytes |   64, as in the project's own record
//
// where a library keeps the key itself, only the state stands beside it. Packets come in bursts, as
// they come to the worker; whoever can make something of that may, and the others take them one
// after the other.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "table/table.h"

namespace flowsieve::peers {

inline constexpr uint32_t kBurst = 32;

/// What a record holds beside its key.
struct State {
  Tick last_seen = 0;
  Tick opened = 0;
  uint32_t epoch = 0;
  uint16_t owner = 0;
  uint16_t bucket = 0;
  ConnectionStatus status = ConnectionStatus::kOpening;
  uint8_t rest[7] = {};

  static State at(Tick now) {
    State state;
    state.last_seen = now;
    state.opened = now;
    state.status = ConnectionStatus::kEstablished;
    return state;
  }
  /// What a packet of an established connection does.
  void packet(Tick now) {
    last_seen = now;
    status = ConnectionStatus::kEstablished;
  }
};
static_assert(sizeof(Key) + sizeof(State) == sizeof(Record));

class Table {
 public:
  virtual ~Table() = default;
  /// A packet came with each of kBurst keys: writes the state of the connections that are there,
  /// and returns how many.
  virtual uint32_t packets(const Key* keys, Tick now) = 0;
  /// For each of kBurst pairs: closes one connection and opens another that is not there. Returns
  /// how many pairs were done.
  virtual uint32_t turnover(const Key* closing, const Key* opening, Tick now) = 0;
  /// Opens one connection, if it is not there.
  virtual bool open(const Key& key, Tick now) = 0;
  /// What is known of a connection; for the check.
  virtual std::optional<State> look(const Key& key) = 0;
  virtual uint32_t size() const = 0;
};

enum class Room : uint8_t {
  kReserved,  ///< for all connections at once, as far as the library can be told
  kGrowing,   ///< as it comes, from an empty table
};

struct TableSubject {
  std::string name;
  std::string note;
  std::string missing;  ///< why it is not there; empty when it is
  std::function<std::unique_ptr<Table>(uint32_t capacity, Room room)> make;
  /// Another subject's table, used another way: its memory and its fillings are that one's.
  bool again = false;
};

/// Connection number `n`. The addresses of clients lie as scattered as real ones do.
inline Key connection(uint32_t n) {
  const uint32_t address = n * 2654435761u;  // odd, so that no two numbers share an address
  const uint8_t client[4] = {static_cast<uint8_t>(address >> 24),
                             static_cast<uint8_t>(address >> 16),
                             static_cast<uint8_t>(address >> 8), static_cast<uint8_t>(address)};
  const uint8_t server[4] = {192, 0, 2, 100};
  Key key;
  key.source = mapped_ipv4(client);
  key.destination = mapped_ipv4(server);
  key.source_port = static_cast<uint16_t>(1024 + n * 7 % 60'000);
  key.destination_port = 443;
  key.protocol = 6;
  return key;
}

// One for each library, there or not.
TableSubject flowsieve_table();
TableSubject flowsieve_table_one_by_one();
TableSubject unordered_map_table();
TableSubject absl_table();
TableSubject boost_table();
TableSubject hopscotch_table();
TableSubject dpdk_table();

/// All of them, in the order in which they take turns.
std::vector<TableSubject> table_subjects();

/// Holds `table`, empty and with room for 4096, against std::unordered_map through a random mixture
/// of everything; ends the program when they differ.
void check_table(Table& table, const std::string& name);

}  // namespace flowsieve::peers
