#include "engine/engine.h"

#include <net/if.h>

#include <algorithm>
#include <new>
#include <utility>

#include "base/clock.h"
#include "engine/expected.h"
#include "engine/lists.h"
#include "engine/routing.h"

namespace flowsieve {
namespace {

/// What each of several workers gets: its part of the table, and a seed of its own.
WorkerOptions part_of(const WorkerOptions& whole, uint32_t workers, uint32_t index) {
  WorkerOptions part = whole;
  // Clients spread over the workers by chance, so each part has an eighth more than its share.
  const uint32_t share = whole.table.capacity / workers;
  part.table.populate = true;  // packets are decided from here on
  part.table.capacity = workers == 1 ? share : share + share / 8 + kCapacityMin;
  part.clock = monotonic_ns;
  part.table.seed = whole.table.seed + 0x9e3779b97f4a7c15u * index;
  return part;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options,
                                               const Criteria& criteria) {
  std::unique_ptr<Engine> engine(new Engine());
  try {
    if (Status opened = engine->open(options, criteria); !opened) return opened.error();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kSystem, "Expected memory for " + std::to_string(options.workers) +
                                         " workers and tables of " +
                                         std::to_string(options.worker.table.capacity) +
                                         " connections but received none from the system."};
  }
  return engine;
}

Status Engine::open(const EngineOptions& options, const Criteria& criteria) {
  if (options.workers == 0) {
    return Error{ErrorCode::kArgument, "Expected at least one worker but received none."};
  }
  const WorkerOptions part = part_of(options.worker, options.workers, 0);
  if (Status fits = ConnectionTable::check(part.table); !fits) return fits;
  addresses_ = options.addresses;
  auto parts = options.networks.empty() ? open_server(options) : open_gateway(options);
  if (!parts) return parts.error();
  for (uint32_t i = 0; i < options.workers; ++i) {
    lanes_.push_back(std::make_unique<Lane>(std::move(parts.value()[i]),
                                            part_of(options.worker, options.workers, i), criteria,
                                            options.gather_ns));
  }
  return ok_status();
}

Result<std::vector<Lane::Parts>> Engine::open_server(const EngineOptions& options) {
  auto link = read_link(options.interface);
  if (!link) return link.error();
  if (options.link != LinkMode::kNone) {
    auto joined =
        Membership::join(link.value(), needed_memberships(options.cluster_mac, options.addresses));
    if (!joined) return joined.error();
    memberships_.push_back(std::move(joined.value()));
  }
  std::vector<std::unique_ptr<TunDelivery>> queues;
  if (!options.dispatch) {
    TunOptions tun_options{.device = options.device, .mtu = link.value().mtu};
    auto opened = TunDelivery::open(tun_options, options.workers);
    if (!opened) return opened.error();
    queues = std::move(opened.value());
  }
  RingOptions ring_options;
  ring_options.interface = options.interface;
  ring_options.addresses = options.addresses;
  ring_options.bypass = options.bypass;
  if (options.bypass) {
    auto early = EarlyVerdict::open(link.value().index, if_nametoindex(options.device.c_str()));
    // An older kernel discards what is another's, and that is worth something, too.
    if (!early && early.error().code != ErrorCode::kMissing) return early.error();
    if (early) ring_options.early = std::move(early.value());
  }
  auto rings = RingSource::open(ring_options, options.workers);
  if (!rings) return rings.error();
  auto watches = WatchSource::open(options.addresses, options.workers);
  if (!watches) return watches.error();

  std::vector<Lane::Parts> all;
  for (uint32_t i = 0; i < options.workers; ++i) {
    Lane::Parts parts{.ring = std::move(rings.value()[i]),
                      .watch = std::move(watches.value()[i]),
                      .tun = nullptr,
                      .forwarder = nullptr,
                      .responder = nullptr};
    if (options.dispatch) {
      auto forwarder = Forwarder::open();
      if (!forwarder) return forwarder.error();
      parts.forwarder = std::move(forwarder.value());
    } else {
      parts.tun = std::move(queues[i]);
    }
    if (options.link != LinkMode::kNone) {
      auto responder =
          LinkResponder::open(options.interface, options.cluster_mac, options.addresses);
      if (!responder) return responder.error();
      parts.responder = std::move(responder.value());
    }
    all.push_back(std::move(parts));
  }
  return all;
}

Result<std::vector<Lane::Parts>> Engine::open_gateway(const EngineOptions& options) {
  auto memberships = join_networks(options.networks);
  if (!memberships) return memberships.error();
  memberships_ = std::move(memberships.value());
  auto joined = open_networks(options.networks, options.workers);
  if (!joined) return joined.error();
  auto queues = TunDelivery::open(TunOptions{.device = options.device}, options.workers);
  if (!queues) return queues.error();

  std::vector<Lane::Parts> all;
  for (uint32_t i = 0; i < options.workers; ++i) {
    JoinedNetworks& networks = joined.value()[i];
    all.push_back({.ring = std::move(networks.source),
                   .watch = nullptr,
                   .tun = std::move(queues.value()[i]),
                   .forwarder = nullptr,
                   .responder = std::move(networks.responder),
                   .slots = uint64_t{RingOptions{}.slots} * options.networks.size()});
  }
  return all;
}

Engine::~Engine() {
  stop();
}

Status Engine::start() {
  for (uint32_t i = 0; i < lanes_.size(); ++i) {
    if (Status started = lanes_[i]->start(i); !started) return started;
  }
  return ok_status();
}

void Engine::stop() {
  for (const auto& lane : lanes_) lane->stop();
}

template <typename Letter>
void Engine::call_all(Letter letter) {
  for (const auto& lane : lanes_) lane->call(letter);
}

void Engine::prepare(const Transition& transition) {
  for (const auto& lane : lanes_) {
    // Copied here, so that the worker need not.
    lane->call([copy = transition](Worker& worker) mutable { worker.prepare(std::move(copy)); });
  }
}

void Engine::hold() {
  call_all([](Worker& worker) { worker.hold(); });
}

void Engine::release() {
  for (const auto& lane : lanes_) lane->release();
}

Resolved Engine::acquire(std::span<const NodeIndex> losers) {
  Resolved sum;
  for (const auto& lane : lanes_) {
    const Resolved one = lane->call([&](Worker& worker) { return worker.acquire(losers); });
    sum.opened += one.opened;
    sum.followed += one.followed;
    sum.expired += one.expired;
  }
  return sum;
}

void Engine::takeover(const Transition& transition) {
  for (const auto& lane : lanes_) {
    lane->call([copy = transition](Worker& worker) mutable { worker.takeover(std::move(copy)); });
  }
}

void Engine::replace_criteria(const Criteria& criteria) {
  for (const auto& lane : lanes_) {
    lane->decide_received();
    lane->call(
        [copy = criteria](Worker& worker) mutable { worker.replace_criteria(std::move(copy)); });
  }
}

uint64_t Engine::adopt(std::span<const NodeIndex> dead) {
  call_all([&](Worker& worker) {
    worker.forget_expectations(dead);
    worker.recall(dead);
  });
  uint64_t adopted = 0;
  for (const auto& lane : lanes_) {
    adopted += adopt_in_steps([&](auto letter) { return lane->call(letter); }, dead);
  }
  return adopted;
}

Expectations::Outcome Engine::expect(const Expectation& expectation) {
  auto outcome = Expectations::Outcome::kDone;
  for (const auto& lane : lanes_) {
    lane->decide_received();
    outcome = expect_in_steps([&](auto letter) { return lane->call(letter); }, expectation);
    if (outcome != Expectations::Outcome::kDone) break;
  }
  return outcome;
}

bool Engine::unexpect(NodeIndex owner, uint64_t id) {
  bool was_there = false;
  for (const auto& lane : lanes_) {
    lane->decide_received();
    was_there |= lane->call([=](Worker& worker) { return worker.unexpect(owner, id); });
  }
  return was_there;
}

void Engine::clear_expectations() {
  call_all([](Worker& worker) { worker.clear_expectations(); });
}

ExpectationList Engine::expectations() {
  ExpectationList list;
  for (const auto& lane : lanes_) {
    ExpectationList part = room_for_expectations();
    lane->look([&](Worker& worker) { list_expectations(worker, part); });
    list += std::move(part);
  }
  return list;
}

void Engine::clear_contested() {
  call_all([](Worker& worker) { worker.clear_contested(); });
}

void Engine::reserve(const Reserved& reserved) {
  for (const auto& lane : lanes_) {
    lane->call([copy = reserved](Worker& worker) mutable { worker.reserve(std::move(copy)); });
  }
}

void Engine::set_open_until(uint64_t ns) {
  for (const auto& lane : lanes_) lane->set_open_until(ns);
}

void Engine::set_hops(const std::vector<Hop>& hops) {
  for (const auto& lane : lanes_) {
    if (!lane->forwarder()) continue;
    lane->look([&, copy = hops](Worker&) mutable { lane->forwarder()->set_hops(std::move(copy)); });
  }
}

void Engine::set_active_until(uint64_t ns) {
  for (const auto& lane : lanes_) {
    if (lane->forwarder()) lane->forwarder()->set_active_until(ns);
  }
}

std::vector<WorkerSnapshot> Engine::snapshot() {
  std::vector<WorkerSnapshot> all;
  all.reserve(lanes_.size());
  for (const auto& lane : lanes_) {
    all.push_back(lane->look([&](Worker& worker) {
      lane->collect_drops();
      WorkerSnapshot snapshot = snapshot_of(worker);
      if (lane->forwarder()) snapshot.nodes = nodes_of(worker, lane->forwarder()->forwarded());
      return snapshot;
    }));
  }
  return all;
}

RecordBlock Engine::connections(uint32_t index, uint64_t cursor, size_t limit) {
  if (cursor == 0) lanes_[index]->decide_received();
  return export_in_steps([&](auto letter) { return lanes_[index]->call(letter); },
                         ListKind::kTables, 0, cursor, limit);
}

RecordBlock Engine::export_list(ListKind kind, NodeIndex to, uint32_t index, uint64_t cursor,
                                size_t limit) {
  if (cursor == 0) lanes_[index]->decide_received();
  const auto tell_and = [&](auto letter) {
    return lanes_[index]->call([&](Worker& worker) {
      if (to != worker.criteria().allocation.self) worker.tell();
      return letter(worker);
    });
  };
  return export_in_steps(tell_and, kind, to, cursor, limit);
}

ConnectionTable::Imported Engine::import_list(ListKind kind, std::span<Record> records,
                                              Tick sender_now, std::span<const NodeIndex> owners) {
  translate_owners(records, owners);
  std::vector<std::vector<Record>> parts(lanes_.size());
  for (const Record& record : records) parts[worker_of(record.key, workers())].push_back(record);
  ConnectionTable::Imported sum;
  for (uint32_t i = 0; i < workers(); ++i) {
    if (!parts[i].empty()) lanes_[i]->decide_received();
    sum += import_in_steps([&](auto letter) { return lanes_[i]->call(letter); }, kind, parts[i],
                           sender_now);
  }
  return sum;
}

void Engine::announce() {
  for (const auto& lane : lanes_) {
    if (!lane->responder()) return;
    lane->look(
        [&](Worker&) { [[maybe_unused]] const Status sent = lane->responder()->announce(); });
    return;  // once is enough
  }
}

}  // namespace flowsieve
