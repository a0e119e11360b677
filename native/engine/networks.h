// The networks between which a gateway stands, opened for its workers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "wire/joined.h"
#include "wire/link.h"

namespace flowsieve {

/// One of them: by which interface it is reached, and who the cluster is there.
struct GatewayNetwork {
  std::string interface;
  Mac cluster_mac{};
  std::vector<Address> addresses;
};

/// The most networks of a gateway: Frame::ingress counts them.
inline constexpr size_t kNetworksMax = 64;

/// All networks for one worker.
struct JoinedNetworks {
  std::unique_ptr<JoinedSource> source;
  std::unique_ptr<JoinedResponder> responder;
};

/// Lets frames to each network's cluster MAC in, for as long as the result lives.
Result<std::vector<Membership>> join_networks(const std::vector<GatewayNetwork>& networks);

/// One for each worker, in order: on every network the kernel steers both directions of a
/// connection to the worker of the same number (wire/fanout.h).
Result<std::vector<JoinedNetworks>> open_networks(const std::vector<GatewayNetwork>& networks,
                                                  size_t workers);

}  // namespace flowsieve
