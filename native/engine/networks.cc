#include "engine/networks.h"

#include <utility>

namespace flowsieve {
namespace {

Result<std::unique_ptr<JoinedResponder>> open_responders(
    const std::vector<GatewayNetwork>& networks) {
  std::vector<std::unique_ptr<LinkResponder>> responders;
  for (const GatewayNetwork& network : networks) {
    auto responder =
        LinkResponder::open(network.interface, network.cluster_mac, network.addresses, true);
    if (!responder) return responder.error();
    responders.push_back(std::move(responder.value()));
  }
  return std::make_unique<JoinedResponder>(std::move(responders));
}

}  // namespace

Result<std::vector<Membership>> join_networks(const std::vector<GatewayNetwork>& networks) {
  std::vector<Membership> memberships;
  for (const GatewayNetwork& network : networks) {
    const auto link = read_link(network.interface);
    if (!link) return link.error();
    auto joined =
        Membership::join(link.value(), needed_memberships(network.cluster_mac, network.addresses));
    if (!joined) return joined.error();
    memberships.push_back(std::move(joined.value()));
  }
  return memberships;
}

Result<std::vector<JoinedNetworks>> open_networks(const std::vector<GatewayNetwork>& networks,
                                                  size_t workers) {
  if (networks.size() > kNetworksMax) {
    return Error{ErrorCode::kArgument, "Expected at most " + std::to_string(kNetworksMax) +
                                           " networks of a gateway but received " +
                                           std::to_string(networks.size()) + "."};
  }
  std::vector<std::vector<std::unique_ptr<RingSource>>> rings(workers);
  for (size_t i = 0; i < networks.size(); ++i) {
    RingOptions options;
    options.interface = networks[i].interface;
    options.cluster_mac = networks[i].cluster_mac;
    options.ingress = static_cast<uint8_t>(i);
    auto opened = RingSource::open(options, workers);
    if (!opened) return opened.error();
    for (size_t w = 0; w < workers; ++w) rings[w].push_back(std::move(opened.value()[w]));
  }
  std::vector<JoinedNetworks> all;
  for (auto& of_worker : rings) {
    auto source = JoinedSource::open(std::move(of_worker));
    if (!source) return source.error();
    auto responder = open_responders(networks);
    if (!responder) return responder.error();
    all.push_back({std::move(source.value()), std::move(responder.value())});
  }
  return all;
}

}  // namespace flowsieve
