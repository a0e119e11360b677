#include "wire/link.h"

#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace flowsieve {

Address solicited_node_address(const Address& address) {
  Address group{0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, 0xff};
  std::memcpy(group.data() + 13, address.data() + 13, 3);
  return group;
}

Mac multicast_mac(const Address& group) {
  return {0x33, 0x33, group[12], group[13], group[14], group[15]};
}

Result<LinkInfo> read_link(const std::string& interface) {
  if (interface.empty() || interface.size() >= IFNAMSIZ) {
    return Error{
        ErrorCode::kArgument,
        "Expected an interface name of 1 to 15 characters but received '" + interface + "'."};
  }
  const Descriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket.open()) return system_error("opening a socket");
  ifreq request{};
  std::memcpy(request.ifr_name, interface.data(), interface.size());
  LinkInfo link;
  if (ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) {
    return system_error("finding the interface '" + interface + "'");
  }
  link.index = request.ifr_ifindex;
  if (ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) {
    return system_error("reading the link address of '" + interface + "'");
  }
  link.ethernet = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
  std::memcpy(link.mac.data(), request.ifr_hwaddr.sa_data, link.mac.size());
  if (ioctl(socket.get(), SIOCGIFMTU, &request) != 0) {
    return system_error("reading the MTU of '" + interface + "'");
  }
  link.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) {
    return system_error("reading the state of '" + interface + "'");
  }
  link.up = (request.ifr_flags & IFF_UP) != 0;
  return link;
}

Result<Membership> Membership::join(const LinkInfo& link, const std::vector<Mac>& macs) {
  // Protocol 0: the socket only holds the membership and never receives.
  Descriptor socket{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
  if (!socket.open()) return system_error("opening a packet socket");
  for (const Mac& mac : macs) {
    packet_mreq request{};
    request.mr_ifindex = link.index;
    request.mr_type = is_multicast(mac) ? PACKET_MR_MULTICAST : PACKET_MR_UNICAST;
    request.mr_alen = static_cast<unsigned short>(mac.size());
    std::memcpy(request.mr_address, mac.data(), mac.size());
    if (setsockopt(socket.get(), SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request) !=
        0) {
      return system_error("joining a link-layer address on the capture interface");
    }
  }
  return Membership{std::move(socket)};
}

std::vector<Mac> needed_memberships(const Mac& cluster_mac, const std::vector<Address>& addresses) {
  std::vector<Mac> macs{cluster_mac};
  const auto add = [&macs](const Mac& mac) {
    if (std::find(macs.begin(), macs.end(), mac) == macs.end()) macs.push_back(mac);
  };
  for (const Address& address : addresses) {
    if (family_of(address) != Family::kIpv6) continue;
    add(multicast_mac(solicited_node_address(address)));
    add(kAllNodesMac);
  }
  return macs;
}

}  // namespace flowsieve
