// One worker with everything that is its own, and the thread that drives it.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>

#include "base/precedence.h"
#include "base/status.h"
#include "engine/mailbox.h"
#include "wire/forwarder.h"
#include "wire/pace.h"
#include "wire/responder.h"
#include "wire/ring.h"
#include "wire/tun.h"
#include "wire/watch.h"
#include "worker/worker.h"

namespace flowsieve {

class Lane {
 public:
  /// The parts, opened. `watch` is null where both directions come by the ring, `responder` where
  /// nobody asks for link addresses; one of `tun` (a node's) and `forwarder` (a dispatcher's) is.
  struct Parts {
    std::unique_ptr<Source> ring;
    std::unique_ptr<WatchSource> watch;
    std::unique_ptr<TunDelivery> tun;
    std::unique_ptr<Forwarder> forwarder;
    std::unique_ptr<AnnouncingResponder> responder;
    uint64_t slots = RingOptions{}.slots;  ///< frames that may wait in the ring
  };

  /// `gather_ns`: the most that a packet may wait for others (wire/pace.h).
  Lane(Parts parts, const WorkerOptions& options, const Criteria& criteria, uint32_t gather_ns);
  ~Lane() { stop(); }

  /// kState when the thread runs already.
  Status start(uint32_t index);
  /// Any thread, any number of times: when it returns, the thread has ended.
  void stop();

  /// Has `letter` called on the worker's thread, between two bursts, and waits for its result;
  /// without a thread, at once. The worker sees all packets then, and knows when the last came.
  template <typename Letter>
  auto call(Letter letter) {
    return look([&](Worker& worker) {
      worker.end_bypass();
      return letter(worker);
    });
  }
  /// The same for what neither asks for connections nor changes anything about them.
  template <typename Letter>
  auto look(Letter letter) {
    using Answer = decltype(letter(worker_));
    std::promise<Answer> answer;
    std::future<Answer> future = answer.get_future();
    mailbox_.post(
        [&](Worker& worker) {
          if constexpr (std::is_void_v<Answer>) {
            letter(worker);
            answer.set_value();
          } else {
            answer.set_value(letter(worker));
          }
        },
        worker_);
    return future.get();
  }

  /// Has the worker decide all that its ring has received by now, and then decide by the next
  /// criteria where the transition has this node as a loser. Waits; the packets that come
  /// meanwhile are decided too.
  void release();
  /// Has the worker decide all that its ring has received by now. Waits.
  void decide_received();
  /// The worker opens no connections past `ns`. Any thread; takes effect with the next turn, and
  /// never waits.
  void set_open_until(uint64_t ns) { open_until_.store(ns, std::memory_order_relaxed); }

  /// The sources' losses are counted with the rest. On the worker's thread, as from call().
  void collect_drops() {
    worker_.collect_drops(*parts_.ring);
    if (parts_.watch) worker_.collect_drops(*parts_.watch);
    worker_.collect_delivered();
  }
  /// Null on a node. Its hops on the worker's thread, as from call().
  Forwarder* forwarder() { return parts_.forwarder.get(); }
  AnnouncingResponder* responder() { return parts_.responder.get(); }

 private:
  static Delivery& delivery_of(Parts& parts);
  void run();
  /// A burst from the ring, under the lease as it is.
  size_t turn(uint64_t now_ns);
  void empty_ring();
  /// Waits as `step` says; polling ends with a frame, a letter, or the time to age.
  void wait(const Pace::Step& step);

  Parts parts_;
  Worker worker_;
  Mailbox mailbox_;
  Pace pace_;
  GivesWay gives_way_;
  std::mutex lifecycle_;  // of the thread: starting and stopping it
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> open_until_{UINT64_MAX};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace flowsieve
