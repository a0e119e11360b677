#include "engine/replay.h"

#include <algorithm>
#include <new>
#include <utility>

namespace flowsieve {

Result<std::unique_ptr<Replay>> Replay::open(const std::string& path, const WorkerOptions& options,
                                             Criteria criteria) {
  auto opened = CaptureSource::open(path);
  if (!opened) return opened.error();
  CaptureSource* capture = opened.value().get();
  return make(std::move(opened.value()), capture, options, std::move(criteria));
}

Result<std::unique_ptr<Replay>> Replay::of_frame(std::vector<uint8_t> frame, LinkType link,
                                                 const WorkerOptions& options, Criteria criteria) {
  // The store lives as long as the function that gives its one frame.
  auto store = std::make_shared<FrameStore>();
  store->add({frame.data(), frame.size()}, 1, link);
  auto source = std::make_unique<MemorySource>(
      [store, given = false](std::span<Frame> burst) mutable -> size_t {
        if (std::exchange(given, true)) return 0;
        burst[0] = store->frames()[0];
        return 1;
      });
  return make(std::move(source), nullptr, options, std::move(criteria));
}

Result<std::unique_ptr<Replay>> Replay::make(std::unique_ptr<Source> source, CaptureSource* capture,
                                             const WorkerOptions& options, Criteria criteria) {
  if (Status fits = ConnectionTable::check(options.table); !fits) return fits.error();
  try {
    return std::unique_ptr<Replay>(
        new Replay(std::move(source), capture, options, std::move(criteria)));
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kSystem, "Expected memory for a table of " +
                                         std::to_string(options.table.capacity) +
                                         " connections but received none from the system."};
  }
}

Replay::Replay(std::unique_ptr<Source> source, CaptureSource* capture, const WorkerOptions& options,
               Criteria criteria)
    : source_(std::move(source)),
      capture_(capture),
      delivery_(MemoryDelivery::Keep::kCountsOnly),
      // The tables' 32-bit ticks tell earlier from later within seven years: time must begin near
      // the capture's.
      worker_(options, std::move(criteria), delivery_, nullptr, &ledger_,
              capture != nullptr ? capture->first_time_ns() : 0) {
  ledger_.resize(worker_.table().slots());
}

bool Replay::run(uint64_t frames) {
  for (uint64_t done = 0; done < frames && !finished_;) {
    const size_t count = worker_.turn(*source_, 0);
    done += count;
    if (count == 0) finish();
  }
  return !finished_;
}

std::vector<Explained> Replay::explain() {
  std::vector<Explained> explained;
  if (finished_) return explained;
  if (worker_.turn(*source_, 0) == 0) finish();
  const Distribution& distribution = worker_.criteria().distribution;
  for (size_t i = 0; i < worker_.traces().size(); ++i) {
    const Frame& frame = worker_.frames()[i];
    Explained line{.number = ++frames_done_,
                   .time_ns = frame.time_ns,
                   .captured = static_cast<uint32_t>(frame.bytes.size),
                   .wire_bytes = frame.wire_bytes,
                   .trace = worker_.traces()[i],
                   .hashed = {}};
    const Packet& packet = line.trace.packet;
    const bool has_flow = packet.kind == Kind::kFlow || packet.kind == Kind::kError;
    if (has_flow && (packet.drop == Drop::kNone || packet.drop == Drop::kRefused)) {
      // By the key: it runs from client to server, whatever the packet's own direction.
      line.rule = worker_.rule_of(packet);
    }
    if (has_flow && packet.drop == Drop::kNone) {
      const HeaderFields fields = header_fields(packet.flow);
      line.hashed.resize(kHashedBytesMax);
      line.hashed.resize(distribution.layout(fields, line.hashed.data()));
      line.hash = distribution.hash(fields);
      line.bucket = distribution.bucket(fields);
    }
    explained.push_back(std::move(line));
  }
  return explained;
}

/// The end of the capture: what still waits for a first fragment has waited in vain, and every open
/// connection is reported.
void Replay::finish() {
  finished_ = true;
  if (capture_ && capture_->failure()) failure_ = capture_->failure();
  worker_.abandon_fragments();
  ConnectionTable& table = worker_.table();
  std::vector<Slot> open;
  for (Slot slot = 0; slot < table.slots(); ++slot) {
    if (table.is_occupied(slot)) open.push_back(slot);
  }
  std::sort(open.begin(), open.end(), [this](Slot a, Slot b) {
    return ledger_.at(a).first_seen_ns < ledger_.at(b).first_seen_ns;
  });
  for (const Slot slot : open) ledger_.close(slot, table.at(slot), false);
}

}  // namespace flowsieve
