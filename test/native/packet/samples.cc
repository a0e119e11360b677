#include "packet/samples.h"

namespace flowsieve::test {
namespace {

constexpr const char* kA4 = "10.0.0.1";
constexpr const char* kB4 = "10.0.0.2";
constexpr const char* kA6 = "2001:db8::1";
constexpr const char* kB6 = "2001:db8::2";

PacketBuilder four() {
  return PacketBuilder::ethernet().ipv4(kA4, kB4);
}
PacketBuilder six() {
  return PacketBuilder::ethernet().ipv6(kA6, kB6);
}
PacketBuilder quote4() {
  return PacketBuilder::raw().ipv4(kB4, kA4);
}
PacketBuilder quote6() {
  return PacketBuilder::raw().ipv6(kB6, kA6);
}

void add_links(std::vector<Sample>& all) {
  const LinkType links[] = {LinkType::kEthernet, LinkType::kRawIp, LinkType::kLinuxCooked1,
                            LinkType::kLinuxCooked2, LinkType::kBsdLoopback};
  for (const LinkType link : links) {
    const std::string name = "link-" + std::to_string(static_cast<int>(link));
    all.push_back({name + "-ipv4-syn", link,
                   PacketBuilder::on(link).ipv4(kA4, kB4).tcp(40000, 80).syn().build()});
    all.push_back({name + "-ipv6-udp", link,
                   PacketBuilder::on(link).ipv6(kA6, kB6).udp(5000, 53).payload(9).build()});
  }
  all.push_back(
      {"two-tags", LinkType::kEthernet,
       PacketBuilder::ethernet().vlan(7, 0x88a8).vlan(5).ipv4(kA4, kB4).udp(1, 2).build()});
  all.push_back({"cooked-tag", LinkType::kLinuxCooked1,
                 PacketBuilder::cooked1().vlan(5).ipv4(kA4, kB4).udp(1, 2).build()});
  all.push_back({"arp", LinkType::kEthernet,
                 PacketBuilder::ethernet().ethertype(0x0806).payload(28).build()});
}

void add_transports(std::vector<Sample>& all) {
  const LinkType link = LinkType::kEthernet;
  all.push_back({"tcp-options", link,
                 four()
                     .options({7, 7, 4, 0, 0, 0, 0})
                     .tcp(1, 2)
                     .ack()
                     .tcp_options({2, 4, 5, 180})
                     .payload(5)
                     .build()});
  all.push_back({"padded", link, four().tcp(1, 2).fin().ack().padding(6).build()});
  all.push_back({"sctp-init", link, four().sctp(3868, 3868).init().build()});
  all.push_back({"sctp-abort", link, six().sctp(3868, 3868).abort().build()});
  all.push_back({"sctp-data", link, four().sctp(3868, 3868).data(8).build()});
  all.push_back({"echo", link, four().echo_request(77).payload(16).build()});
  all.push_back({"echo-reply", link, four().echo_reply(77).payload(16).build()});
  all.push_back({"echo6", link, six().echo_request(77).payload(16).build()});
  all.push_back({"neighbour", link, six().icmp(135).payload(24).build()});
  all.push_back({"igmp", link, PacketBuilder::ethernet().ipv4(kA4, "224.0.0.22").igmp().build()});
  all.push_back({"ospf", link,
                 PacketBuilder::ethernet().ipv4(kA4, "224.0.0.5").next(89).payload(24).build()});
  all.push_back({"gre", link, four().gre().ipv4(kA4, kB4).udp(1, 2).build()});
  all.push_back({"esp", link, six().esp().payload(32).build()});
  all.push_back({"ip-in-ip", link, four().ipv4(kA4, kB4).tcp(1, 2).build()});
  all.push_back({"ah4", link, four().ah().tcp(1, 2).syn().build()});
}

void add_chains(std::vector<Sample>& all) {
  const LinkType link = LinkType::kEthernet;
  all.push_back(
      {"chain", link,
       six().hop_by_hop().routing(24).destination_options(16).ah(16).tcp(1, 2).syn().build()});
  all.push_back({"chain-rare", link, six().mobility().hip().shim6().udp(1, 2).build()});
  all.push_back({"mobility-message", link, six().mobility().next(59).build()});
  all.push_back({"no-next", link, six().next(59).payload(4).build()});
  all.push_back({"atomic", link, six().ipv6_fragment(9, 0, false).udp(1, 2).build()});
}

void add_fragments(std::vector<Sample>& all) {
  const LinkType link = LinkType::kEthernet;
  int number = 0;
  for (const auto& frame : fragments_of(four().udp(1, 2).payload(100).build(), 68)) {
    all.push_back({"fragment4-" + std::to_string(number++), link, frame});
  }
  for (const auto& frame :
       fragments_of(six().hop_by_hop().tcp(1, 2).syn().payload(100).build(), 120)) {
    all.push_back({"fragment6-" + std::to_string(number++), link, frame});
  }
}

void add_errors(std::vector<Sample>& all) {
  const LinkType link = LinkType::kEthernet;
  all.push_back(
      {"unreachable-tcp", link, four().icmp_error(3, 3, quote4().tcp(80, 40000).build()).build()});
  all.push_back({"unreachable-echo", link,
                 four().icmp_error(3, 1, quote4().echo_request(77).build()).build()});
  all.push_back(
      {"exceeded-gre", link, four().icmp_error(11, 0, quote4().gre().payload(8).build()).build()});
  all.push_back({"too-big-udp", link,
                 six().icmp_error(2, 0, quote6().hop_by_hop().udp(1, 2).build()).build()});
  all.push_back(
      {"too-big-fragment", link,
       six()
           .icmp_error(2, 0, quote6().ipv6_fragment(1, 0, true).udp(1, 2).payload(8).build())
           .build()});
  all.push_back(
      {"error-of-error", link,
       four()
           .icmp_error(3, 1, quote4().icmp_error(3, 3, quote4().udp(1, 2).build()).build())
           .build()});
}

}  // namespace

std::vector<Sample> samples() {
  std::vector<Sample> all;
  add_links(all);
  add_transports(all);
  add_chains(all);
  add_fragments(all);
  add_errors(all);
  return all;
}

}  // namespace flowsieve::test
