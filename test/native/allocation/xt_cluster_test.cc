// jhash over the source field against the kernel's own cluster match.
#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <cstring>

#include "allocation/distribution.h"

namespace flowsieve {
namespace {

struct Seen {
  uint32_t total_nodes;
  uint32_t hash_seed;
  const char* source;
  uint32_t node;  // from 0: the bit of the node mask; --cluster-local-node is one more
};

// Read from rule counters of xt_cluster on Linux 6.18 by test/fixtures/xt_cluster_record.py:
// packets from random sources, one rule for every node.
constexpr Seen kSeen[] = {
    {16, 0xdeadbeef, "145.50.216.250", 14},
    {16, 0xdeadbeef, "200.219.172.37", 11},
    {16, 0xdeadbeef, "136.19.226.104", 12},
    {16, 0xdeadbeef, "160.166.26.30", 5},
    {16, 0xdeadbeef, "143.23.245.196", 11},
    {16, 0xdeadbeef, "191.106.106.189", 5},
    {16, 0xdeadbeef, "185.136.236.81", 15},
    {16, 0xdeadbeef, "188.114.136.48", 2},
    {16, 0xdeadbeef, "211.103.102.13", 5},
    {16, 0xdeadbeef, "176.151.59.75", 11},
    {16, 0xdeadbeef, "154.223.204.150", 15},
    {16, 0xdeadbeef, "140.3.151.70", 6},
    {16, 0xdeadbeef, "190.114.22.65", 7},
    {16, 0xdeadbeef, "131.160.227.212", 0},
    {16, 0xdeadbeef, "177.229.65.70", 5},
    {16, 0xdeadbeef, "183.100.233.67", 3},
    {16, 0xdeadbeef, "205.192.135.59", 2},
    {16, 0xdeadbeef, "128.69.2.211", 7},
    {16, 0xdeadbeef, "217.17.13.44", 1},
    {16, 0xdeadbeef, "185.2.114.150", 2},
    {16, 0xdeadbeef, "162.23.30.161", 2},
    {16, 0xdeadbeef, "220.91.108.127", 12},
    {16, 0xdeadbeef, "157.72.20.152", 12},
    {16, 0xdeadbeef, "203.170.234.96", 13},
    {16, 0xdeadbeef, "141.21.199.143", 1},
    {16, 0xdeadbeef, "168.161.136.201", 15},
    {16, 0xdeadbeef, "131.234.95.110", 14},
    {16, 0xdeadbeef, "130.219.115.113", 8},
    {16, 0xdeadbeef, "131.65.207.92", 4},
    {16, 0xdeadbeef, "211.36.83.238", 12},
    {16, 0xdeadbeef, "197.77.1.15", 15},
    {16, 0xdeadbeef, "129.45.160.159", 15},
    {16, 0xdeadbeef, "176.203.76.231", 0},
    {16, 0xdeadbeef, "215.222.179.252", 10},
    {16, 0xdeadbeef, "155.185.135.111", 9},
    {16, 0xdeadbeef, "182.7.234.122", 3},
    {16, 0xdeadbeef, "220.232.188.240", 13},
    {16, 0xdeadbeef, "131.183.155.195", 5},
    {16, 0xdeadbeef, "195.137.92.94", 3},
    {16, 0xdeadbeef, "156.96.100.126", 13},
    {16, 0xdeadbeef, "184.12.179.80", 9},
    {16, 0xdeadbeef, "191.118.198.138", 1},
    {16, 0xdeadbeef, "198.196.26.69", 4},
    {16, 0xdeadbeef, "157.213.182.28", 10},
    {16, 0xdeadbeef, "172.63.233.64", 1},
    {16, 0xdeadbeef, "157.141.8.239", 2},
    {16, 0xdeadbeef, "214.162.249.30", 9},
    {16, 0xdeadbeef, "156.1.4.84", 15},
    {16, 0xdeadbeef, "186.212.73.74", 4},
    {16, 0xdeadbeef, "165.23.144.85", 8},
    {16, 0xdeadbeef, "3acd:7053:6a8a:c4ba:580:5975:ed2f:89d9", 1},
    {16, 0xdeadbeef, "348d:acea:ec14:8cb4:8e73:ca47:ea90:a8f0", 1},
    {16, 0xdeadbeef, "3fc2:ea66:a11d:459a:2f97:8d87:1999:9e3f", 12},
    {16, 0xdeadbeef, "23de:549e:4be0:3db0:dc25:74bd:b940:67ed", 0},
    {16, 0xdeadbeef, "3716:6675:e544:6dd4:552b:82f6:be3e:dc0a", 4},
    {16, 0xdeadbeef, "3df7:523f:8034:68b6:b610:a9f7:f927:f4e", 14},
    {16, 0xdeadbeef, "3a8f:a701:81f9:c1f6:6c0f:3459:f79b:17ae", 13},
    {16, 0xdeadbeef, "29b5:31e3:3099:fdf5:ab99:254a:e901:e35c", 15},
    {16, 0xdeadbeef, "3c3d:4498:f934:1c68:966b:aea1:48be:ab13", 10},
    {16, 0xdeadbeef, "302b:48f8:f0df:b4a5:d8a0:64df:7fd6:3116", 4},
    {16, 0xdeadbeef, "211a:d5ea:da71:1448:96c8:da19:64b2:d2bc", 6},
    {16, 0xdeadbeef, "3984:55eb:be65:21cc:3e24:34e3:7af0:27bc", 5},
    {16, 0xdeadbeef, "2589:46d3:aa2c:a1af:6a10:7b75:677f:6cbd", 15},
    {16, 0xdeadbeef, "367f:4f54:e1fa:b9d7:8c7e:134f:5dfb:d3d1", 14},
    {16, 0xdeadbeef, "2bfd:9131:bcfb:b050:acab:1a6b:c69d:4bd8", 3},
    {16, 0xdeadbeef, "3045:7a2:a9ec:806:705f:ca16:1622:bd79", 6},
    {16, 0xdeadbeef, "30ab:8708:29e8:21a4:c748:3e3:1ba1:6215", 12},
    {16, 0xdeadbeef, "2fab:91bf:5eda:92d8:64ac:5db9:d707:107e", 12},
    {16, 0xdeadbeef, "2164:3f75:7825:5d68:792:3986:bb96:8a43", 14},
    {16, 0xdeadbeef, "3f76:4617:d92a:4aa2:b410:d93c:4efb:c8d6", 1},
    {16, 0xdeadbeef, "3acd:7053:fe89:92b7:925a:baf8:704b:b5fc", 1},
    {16, 0xdeadbeef, "348d:acea:c788:8dfa:2bdf:cc9f:8e52:5a13", 1},
    {16, 0xdeadbeef, "3fc2:ea66:9b05:d55d:af05:3953:32b1:60ce", 12},
    {16, 0xdeadbeef, "23de:549e:8ea1:3c8d:df03:46f0:4229:3816", 0},
    {32, 0x1234, "145.50.216.250", 9},
    {32, 0x1234, "200.219.172.37", 20},
    {32, 0x1234, "136.19.226.104", 13},
    {32, 0x1234, "160.166.26.30", 12},
    {32, 0x1234, "143.23.245.196", 1},
    {32, 0x1234, "191.106.106.189", 22},
    {32, 0x1234, "185.136.236.81", 27},
    {32, 0x1234, "188.114.136.48", 29},
    {32, 0x1234, "211.103.102.13", 2},
    {32, 0x1234, "176.151.59.75", 4},
    {32, 0x1234, "154.223.204.150", 4},
    {32, 0x1234, "140.3.151.70", 19},
    {32, 0x1234, "190.114.22.65", 4},
    {32, 0x1234, "131.160.227.212", 18},
    {32, 0x1234, "177.229.65.70", 6},
    {32, 0x1234, "183.100.233.67", 13},
    {32, 0x1234, "205.192.135.59", 14},
    {32, 0x1234, "128.69.2.211", 18},
    {32, 0x1234, "217.17.13.44", 2},
    {32, 0x1234, "185.2.114.150", 5},
    {32, 0x1234, "162.23.30.161", 17},
    {32, 0x1234, "220.91.108.127", 27},
    {32, 0x1234, "157.72.20.152", 5},
    {32, 0x1234, "203.170.234.96", 31},
    {32, 0x1234, "141.21.199.143", 0},
    {32, 0x1234, "168.161.136.201", 4},
    {32, 0x1234, "131.234.95.110", 18},
    {32, 0x1234, "130.219.115.113", 27},
    {32, 0x1234, "131.65.207.92", 25},
    {32, 0x1234, "211.36.83.238", 27},
    {32, 0x1234, "197.77.1.15", 4},
    {32, 0x1234, "129.45.160.159", 12},
    {32, 0x1234, "176.203.76.231", 23},
    {32, 0x1234, "215.222.179.252", 21},
    {32, 0x1234, "155.185.135.111", 14},
    {32, 0x1234, "182.7.234.122", 6},
    {32, 0x1234, "220.232.188.240", 9},
    {32, 0x1234, "131.183.155.195", 31},
    {32, 0x1234, "195.137.92.94", 10},
    {32, 0x1234, "156.96.100.126", 26},
    {32, 0x1234, "184.12.179.80", 25},
    {32, 0x1234, "191.118.198.138", 26},
    {32, 0x1234, "198.196.26.69", 13},
    {32, 0x1234, "157.213.182.28", 6},
    {32, 0x1234, "172.63.233.64", 21},
    {32, 0x1234, "157.141.8.239", 8},
    {32, 0x1234, "214.162.249.30", 5},
    {32, 0x1234, "156.1.4.84", 25},
    {32, 0x1234, "186.212.73.74", 4},
    {32, 0x1234, "165.23.144.85", 31},
    {32, 0x1234, "3acd:7053:6a8a:c4ba:580:5975:ed2f:89d9", 21},
    {32, 0x1234, "348d:acea:ec14:8cb4:8e73:ca47:ea90:a8f0", 0},
    {32, 0x1234, "3fc2:ea66:a11d:459a:2f97:8d87:1999:9e3f", 12},
    {32, 0x1234, "23de:549e:4be0:3db0:dc25:74bd:b940:67ed", 23},
    {32, 0x1234, "3716:6675:e544:6dd4:552b:82f6:be3e:dc0a", 15},
    {32, 0x1234, "3df7:523f:8034:68b6:b610:a9f7:f927:f4e", 4},
    {32, 0x1234, "3a8f:a701:81f9:c1f6:6c0f:3459:f79b:17ae", 13},
    {32, 0x1234, "29b5:31e3:3099:fdf5:ab99:254a:e901:e35c", 20},
    {32, 0x1234, "3c3d:4498:f934:1c68:966b:aea1:48be:ab13", 0},
    {32, 0x1234, "302b:48f8:f0df:b4a5:d8a0:64df:7fd6:3116", 31},
    {32, 0x1234, "211a:d5ea:da71:1448:96c8:da19:64b2:d2bc", 21},
    {32, 0x1234, "3984:55eb:be65:21cc:3e24:34e3:7af0:27bc", 27},
    {32, 0x1234, "2589:46d3:aa2c:a1af:6a10:7b75:677f:6cbd", 21},
    {32, 0x1234, "367f:4f54:e1fa:b9d7:8c7e:134f:5dfb:d3d1", 3},
    {32, 0x1234, "2bfd:9131:bcfb:b050:acab:1a6b:c69d:4bd8", 0},
    {32, 0x1234, "3045:7a2:a9ec:806:705f:ca16:1622:bd79", 10},
    {32, 0x1234, "30ab:8708:29e8:21a4:c748:3e3:1ba1:6215", 17},
    {32, 0x1234, "2fab:91bf:5eda:92d8:64ac:5db9:d707:107e", 30},
    {32, 0x1234, "2164:3f75:7825:5d68:792:3986:bb96:8a43", 11},
    {32, 0x1234, "3f76:4617:d92a:4aa2:b410:d93c:4efb:c8d6", 15},
    {32, 0x1234, "3acd:7053:fe89:92b7:925a:baf8:704b:b5fc", 21},
    {32, 0x1234, "348d:acea:c788:8dfa:2bdf:cc9f:8e52:5a13", 0},
    {32, 0x1234, "3fc2:ea66:9b05:d55d:af05:3953:32b1:60ce", 12},
    {32, 0x1234, "23de:549e:8ea1:3c8d:df03:46f0:4229:3816", 23},
    {4, 0xdeadbeef, "145.50.216.250", 3},
    {4, 0xdeadbeef, "200.219.172.37", 2},
    {4, 0xdeadbeef, "136.19.226.104", 3},
    {4, 0xdeadbeef, "160.166.26.30", 1},
    {4, 0xdeadbeef, "143.23.245.196", 2},
    {4, 0xdeadbeef, "191.106.106.189", 1},
    {4, 0xdeadbeef, "185.136.236.81", 3},
    {4, 0xdeadbeef, "188.114.136.48", 0},
    {4, 0xdeadbeef, "211.103.102.13", 1},
    {4, 0xdeadbeef, "176.151.59.75", 2},
    {4, 0xdeadbeef, "154.223.204.150", 3},
    {4, 0xdeadbeef, "140.3.151.70", 1},
    {4, 0xdeadbeef, "190.114.22.65", 1},
    {4, 0xdeadbeef, "131.160.227.212", 0},
    {4, 0xdeadbeef, "177.229.65.70", 1},
    {4, 0xdeadbeef, "183.100.233.67", 0},
    {4, 0xdeadbeef, "205.192.135.59", 0},
    {4, 0xdeadbeef, "128.69.2.211", 1},
    {4, 0xdeadbeef, "217.17.13.44", 0},
    {4, 0xdeadbeef, "185.2.114.150", 0},
    {4, 0xdeadbeef, "162.23.30.161", 0},
    {4, 0xdeadbeef, "220.91.108.127", 3},
    {4, 0xdeadbeef, "157.72.20.152", 3},
    {4, 0xdeadbeef, "203.170.234.96", 3},
    {4, 0xdeadbeef, "141.21.199.143", 0},
    {4, 0xdeadbeef, "168.161.136.201", 3},
    {4, 0xdeadbeef, "131.234.95.110", 3},
    {4, 0xdeadbeef, "130.219.115.113", 2},
    {4, 0xdeadbeef, "131.65.207.92", 1},
    {4, 0xdeadbeef, "211.36.83.238", 3},
    {4, 0xdeadbeef, "197.77.1.15", 3},
    {4, 0xdeadbeef, "129.45.160.159", 3},
    {4, 0xdeadbeef, "176.203.76.231", 0},
    {4, 0xdeadbeef, "215.222.179.252", 2},
    {4, 0xdeadbeef, "155.185.135.111", 2},
    {4, 0xdeadbeef, "182.7.234.122", 0},
    {4, 0xdeadbeef, "220.232.188.240", 3},
    {4, 0xdeadbeef, "131.183.155.195", 1},
    {4, 0xdeadbeef, "195.137.92.94", 0},
    {4, 0xdeadbeef, "156.96.100.126", 3},
    {4, 0xdeadbeef, "184.12.179.80", 2},
    {4, 0xdeadbeef, "191.118.198.138", 0},
    {4, 0xdeadbeef, "198.196.26.69", 1},
    {4, 0xdeadbeef, "157.213.182.28", 2},
    {4, 0xdeadbeef, "172.63.233.64", 0},
    {4, 0xdeadbeef, "157.141.8.239", 0},
    {4, 0xdeadbeef, "214.162.249.30", 2},
    {4, 0xdeadbeef, "156.1.4.84", 3},
    {4, 0xdeadbeef, "186.212.73.74", 1},
    {4, 0xdeadbeef, "165.23.144.85", 2},
    {4, 0xdeadbeef, "3acd:7053:6a8a:c4ba:580:5975:ed2f:89d9", 0},
    {4, 0xdeadbeef, "348d:acea:ec14:8cb4:8e73:ca47:ea90:a8f0", 0},
    {4, 0xdeadbeef, "3fc2:ea66:a11d:459a:2f97:8d87:1999:9e3f", 3},
    {4, 0xdeadbeef, "23de:549e:4be0:3db0:dc25:74bd:b940:67ed", 0},
    {4, 0xdeadbeef, "3716:6675:e544:6dd4:552b:82f6:be3e:dc0a", 1},
    {4, 0xdeadbeef, "3df7:523f:8034:68b6:b610:a9f7:f927:f4e", 3},
    {4, 0xdeadbeef, "3a8f:a701:81f9:c1f6:6c0f:3459:f79b:17ae", 3},
    {4, 0xdeadbeef, "29b5:31e3:3099:fdf5:ab99:254a:e901:e35c", 3},
    {4, 0xdeadbeef, "3c3d:4498:f934:1c68:966b:aea1:48be:ab13", 2},
    {4, 0xdeadbeef, "302b:48f8:f0df:b4a5:d8a0:64df:7fd6:3116", 1},
    {4, 0xdeadbeef, "211a:d5ea:da71:1448:96c8:da19:64b2:d2bc", 1},
    {4, 0xdeadbeef, "3984:55eb:be65:21cc:3e24:34e3:7af0:27bc", 1},
    {4, 0xdeadbeef, "2589:46d3:aa2c:a1af:6a10:7b75:677f:6cbd", 3},
    {4, 0xdeadbeef, "367f:4f54:e1fa:b9d7:8c7e:134f:5dfb:d3d1", 3},
    {4, 0xdeadbeef, "2bfd:9131:bcfb:b050:acab:1a6b:c69d:4bd8", 0},
    {4, 0xdeadbeef, "3045:7a2:a9ec:806:705f:ca16:1622:bd79", 1},
    {4, 0xdeadbeef, "30ab:8708:29e8:21a4:c748:3e3:1ba1:6215", 3},
    {4, 0xdeadbeef, "2fab:91bf:5eda:92d8:64ac:5db9:d707:107e", 3},
    {4, 0xdeadbeef, "2164:3f75:7825:5d68:792:3986:bb96:8a43", 3},
    {4, 0xdeadbeef, "3f76:4617:d92a:4aa2:b410:d93c:4efb:c8d6", 0},
    {4, 0xdeadbeef, "3acd:7053:fe89:92b7:925a:baf8:704b:b5fc", 0},
    {4, 0xdeadbeef, "348d:acea:c788:8dfa:2bdf:cc9f:8e52:5a13", 0},
    {4, 0xdeadbeef, "3fc2:ea66:9b05:d55d:af05:3953:32b1:60ce", 3},
    {4, 0xdeadbeef, "23de:549e:8ea1:3c8d:df03:46f0:4229:3816", 0},
};

DistributionOptions kernel_options(uint32_t hash_seed, uint32_t buckets) {
  DistributionOptions options;
  options.hash = HashFunction::kJhash;
  options.fields = kFieldSource;
  options.source_prefix_ipv6 = 32;  // the kernel hashes the first word of an IPv6 address only
  options.buckets = buckets;
  for (size_t i = 0; i < 4; ++i) {
    options.key[i] = static_cast<uint8_t>(hash_seed >> (8 * i));
  }
  return options;
}

uint32_t bucket_of_source(const DistributionOptions& options, const char* text) {
  const bool ipv6 = std::strchr(text, ':') != nullptr;
  uint8_t bytes[16];
  REQUIRE(inet_pton(ipv6 ? AF_INET6 : AF_INET, text, bytes) == 1);
  Address source;
  std::memcpy(source.data(), bytes, sizeof source);
  if (!ipv6) {
    source = mapped_ipv4(bytes);
  }
  const Address nowhere{};
  return Distribution(options).bucket(
      {ipv6 ? Family::kIpv6 : Family::kIpv4, source, nowhere, 1234, 80, 6});
}

TEST_CASE("with as many buckets as nodes, jhash over the source gives the kernel's node number") {
  int compared = 0;
  for (const Seen& seen : kSeen) {
    if (seen.total_nodes >= 16) {
      CAPTURE(seen.source);
      const DistributionOptions options = kernel_options(seen.hash_seed, seen.total_nodes);
      CHECK(bucket_of_source(options, seen.source) == seen.node);
      ++compared;
    }
  }
  CHECK(compared >= 100);
}

TEST_CASE("with more buckets than nodes, the bucket's upper bits are the kernel's node number") {
  for (const Seen& seen : kSeen) {
    for (const uint32_t buckets : {256u, 65536u}) {
      CAPTURE(seen.source);
      const DistributionOptions options = kernel_options(seen.hash_seed, buckets);
      CHECK(bucket_of_source(options, seen.source) * seen.total_nodes / buckets == seen.node);
    }
  }
}

}  // namespace
}  // namespace flowsieve
