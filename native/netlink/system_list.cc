#include "netlink/system_list.h"

#include <ifaddrs.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <random>
#include <vector>

#include "netlink/netlink.h"
#include "packet/protocols.h"

namespace flowsieve {
namespace {

constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

/// The addresses of this machine.
Result<std::vector<Address>> local_addresses() {
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return system_error("listing the addresses of this machine");
  std::vector<Address> addresses;
  for (const ifaddrs* each = first; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr) continue;
    if (each->ifa_addr->sa_family == AF_INET) {
      const auto* four = reinterpret_cast<const sockaddr_in*>(each->ifa_addr);
      addresses.push_back(mapped_ipv4(reinterpret_cast<const uint8_t*>(&four->sin_addr)));
    } else if (each->ifa_addr->sa_family == AF_INET6) {
      const auto* six = reinterpret_cast<const sockaddr_in6*>(each->ifa_addr);
      Address address;
      std::copy_n(six->sin6_addr.s6_addr, address.size(), address.begin());
      addresses.push_back(address);
    }
  }
  freeifaddrs(first);
  return addresses;
}

/// 127.0.0.0/8 is this machine, whichever of its addresses an interface has.
bool is_loopback(const Address& address) {
  return is_mapped_ipv4(address) && address[12] == 127;
}

/// False when the kernel has no list of the protocol.
Result<bool> add_sockets(uint8_t protocol, SystemList& system) {
  for (const Family family : kFamilies) {
    const auto counts =
        list_sockets(protocol, family, [&](const OpenSocket& socket) { system.list.add(socket); });
    if (!counts) {
      if (counts.error().code == ErrorCode::kMissing) return false;
      return counts.error();
    }
    system.sockets += counts.value().read;
    system.malformed += counts.value().malformed;
  }
  system.list.set_listed(protocol);
  return true;
}

/// What is translated at either end. A connection translated at both is told twice.
Status add_tracked(SystemList& system) {
  const auto addresses = local_addresses();
  if (!addresses) return addresses.error();
  const auto is_local = [&](const Address& address) {
    const auto& all = addresses.value();
    return is_loopback(address) || std::find(all.begin(), all.end(), address) != all.end();
  };
  for (const Family family : kFamilies) {
    for (const uint32_t translated : {IPS_DST_NAT, IPS_SRC_NAT}) {
      const auto counts =
          list_tracked(family, translated, [&](const TrackedConnection& connection) {
            system.list.add(connection, is_local(connection.translated().destination));
          });
      if (!counts) return counts.error();
      system.tracked += counts.value().read;
      system.malformed += counts.value().malformed;
    }
  }
  system.conntrack = true;
  return ok_status();
}

}  // namespace

Result<SystemList> read_system_list(const SystemListOptions& options) {
  std::random_device random;
  const uint64_t seed = uint64_t{random()} << 32 | random();
  SystemList system{.list = OpenList(options.scope, options.match, seed)};
  for (const uint8_t protocol : {kProtocolTcp, kProtocolUdp, kProtocolSctp}) {
    const auto listed = add_sockets(protocol, system);
    if (!listed) return listed.error();
    if (!listed.value() && protocol != kProtocolSctp) {
      const char* feature = protocol == kProtocolTcp ? "tcp_diag" : "udp_diag";
      return Error{ErrorCode::kMissing,
                   std::string("Expected a kernel with ") + feature +
                       " for tracking os but received one that cannot list these sockets."};
    }
  }
  if (options.conntrack != UseConntrack::kNever) {
    const Status tracked = add_tracked(system);
    const bool excused = options.conntrack == UseConntrack::kAuto;
    if (!tracked && !excused) return tracked.error();
  }
  return system;
}

}  // namespace flowsieve
