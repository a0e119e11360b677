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
    {16, 0xdeadbeef, "45.101.177.245", 9},
    {16, 0xdeadbeef, "156.183.88.74", 8},
    {16, 0xdeadbeef, "15.241.106.223", 1},
    {16, 0xdeadbeef, "216.97.62.48", 11},
    {16, 0xdeadbeef, "206.134.187.196", 7},
    {16, 0xdeadbeef, "27.39.196.209", 11},
    {16, 0xdeadbeef, "76.76.52.60", 0},
    {16, 0xdeadbeef, "41.47.235.137", 7},
    {16, 0xdeadbeef, "137.212.213.123", 2},
    {16, 0xdeadbeef, "205.206.111.68", 11},
    {16, 0xdeadbeef, "126.17.216.163", 7},
    {16, 0xdeadbeef, "131.229.16.97", 9},
    {16, 0xdeadbeef, "177.206.204.27", 0},
    {16, 0xdeadbeef, "108.46.118.150", 13},
    {16, 0xdeadbeef, "212.233.198.22", 9},
    {16, 0xdeadbeef, "64.191.153.45", 0},
    {16, 0xdeadbeef, "35.7.46.140", 7},
    {16, 0xdeadbeef, "135.228.44.130", 3},
    {16, 0xdeadbeef, "18.65.199.168", 2},
    {16, 0xdeadbeef, "27.176.108.230", 15},
    {16, 0xdeadbeef, "12.244.179.178", 1},
    {16, 0xdeadbeef, "110.202.130.141", 7},
    {16, 0xdeadbeef, "121.201.210.134", 1},
    {16, 0xdeadbeef, "166.129.14.118", 1},
    {16, 0xdeadbeef, "206.36.201.133", 8},
    {16, 0xdeadbeef, "207.100.113.89", 13},
    {16, 0xdeadbeef, "11.138.5.166", 13},
    {16, 0xdeadbeef, "189.34.26.88", 11},
    {16, 0xdeadbeef, "125.4.229.45", 7},
    {16, 0xdeadbeef, "79.46.61.67", 8},
    {16, 0xdeadbeef, "195.182.216.254", 12},
    {16, 0xdeadbeef, "216.68.126.53", 4},
    {16, 0xdeadbeef, "69.144.41.49", 8},
    {16, 0xdeadbeef, "162.85.212.193", 10},
    {16, 0xdeadbeef, "40.253.66.162", 5},
    {16, 0xdeadbeef, "37.43.143.31", 3},
    {16, 0xdeadbeef, "29.195.243.57", 14},
    {16, 0xdeadbeef, "92.67.17.147", 4},
    {16, 0xdeadbeef, "18.212.190.220", 4},
    {16, 0xdeadbeef, "16.182.230.227", 13},
    {16, 0xdeadbeef, "17.131.158.185", 10},
    {16, 0xdeadbeef, "177.72.167.221", 0},
    {16, 0xdeadbeef, "149.154.2.30", 4},
    {16, 0xdeadbeef, "13.91.65.63", 11},
    {16, 0xdeadbeef, "39.108.20.74", 4},
    {16, 0xdeadbeef, "24.152.138.217", 13},
    {16, 0xdeadbeef, "108.150.153.207", 4},
    {16, 0xdeadbeef, "186.189.103.249", 7},
    {16, 0xdeadbeef, "66.115.14.223", 0},
    {16, 0xdeadbeef, "47.19.12.66", 5},
    {16, 0xdeadbeef, "30e2:5717:76f:3787:b9d1:79e0:6c0f:d4f5", 0},
    {16, 0xdeadbeef, "3e0d:a7fd:7019:66a0:c381:e88f:38c0:c8fd", 15},
    {16, 0xdeadbeef, "2b0f:fa50:3bab:6c39:8d88:348a:7eed:8d14", 1},
    {16, 0xdeadbeef, "3859:af13:3802:8a9:ad45:f23d:3b1a:11df", 12},
    {16, 0xdeadbeef, "3da5:f13b:4a2f:20aa:f3c6:4af7:75a8:9294", 14},
    {16, 0xdeadbeef, "3d52:151e:d66b:829e:6a8a:c4ba:580:5975", 2},
    {16, 0xdeadbeef, "2333:33c7:a46d:6753:ec14:8cb4:8e73:ca47", 8},
    {16, 0xdeadbeef, "3728:cfd:fe17:5330:a11d:459a:2f97:8d87", 13},
    {16, 0xdeadbeef, "37c7:db81:1ef2:a4f0:4be0:3db0:dc25:74bd", 2},
    {16, 0xdeadbeef, "3f24:e1e9:b8b3:33a8:e544:6dd4:552b:82f6", 12},
    {16, 0xdeadbeef, "3ef3:62f5:efba:91fc:8034:68b6:b610:a9f7", 13},
    {16, 0xdeadbeef, "3d20:3c6b:d47d:380d:81f9:c1f6:6c0f:3459", 1},
    {16, 0xdeadbeef, "2917:d562:4da9:8f1d:3099:fdf5:ab99:254a", 3},
    {16, 0xdeadbeef, "2ffa:c622:e1ea:24c4:f934:1c68:966b:aea1", 5},
    {16, 0xdeadbeef, "2c96:5a57:815a:47c5:f0df:b4a5:d8a0:64df", 14},
    {16, 0xdeadbeef, "2f5e:4f7:8d6:af57:da71:1448:96c8:da19", 11},
    {16, 0xdeadbeef, "2cef:ed97:cc22:af58:be65:21cc:3e24:34e3", 10},
    {16, 0xdeadbeef, "2bbf:7a7a:2c4a:3698:aa2c:a1af:6a10:7b75", 2},
    {16, 0xdeadbeef, "38d3:a97b:b3fa:7aa7:e1fa:b9d7:8c7e:134f", 15},
    {16, 0xdeadbeef, "22c4:57af:5fec:898f:bcfb:b050:acab:1a6b", 12},
    {16, 0xdeadbeef, "30e2:5717:8547:a92:103d:71e6:1c50:1ee2", 0},
    {16, 0xdeadbeef, "3e0d:a7fd:59f1:4704:4c9:eb6c:2361:aae8", 15},
    {16, 0xdeadbeef, "2b0f:fa50:5f07:3180:5a8f:24f4:fbb1:b551", 1},
    {16, 0xdeadbeef, "3859:af13:8394:82ea:d019:7fc1:65c0:8306", 12},
    {32, 0x1234, "45.101.177.245", 15},
    {32, 0x1234, "156.183.88.74", 4},
    {32, 0x1234, "15.241.106.223", 29},
    {32, 0x1234, "216.97.62.48", 10},
    {32, 0x1234, "206.134.187.196", 23},
    {32, 0x1234, "27.39.196.209", 21},
    {32, 0x1234, "76.76.52.60", 23},
    {32, 0x1234, "41.47.235.137", 31},
    {32, 0x1234, "137.212.213.123", 27},
    {32, 0x1234, "205.206.111.68", 6},
    {32, 0x1234, "126.17.216.163", 14},
    {32, 0x1234, "131.229.16.97", 29},
    {32, 0x1234, "177.206.204.27", 30},
    {32, 0x1234, "108.46.118.150", 13},
    {32, 0x1234, "212.233.198.22", 10},
    {32, 0x1234, "64.191.153.45", 14},
    {32, 0x1234, "35.7.46.140", 30},
    {32, 0x1234, "135.228.44.130", 30},
    {32, 0x1234, "18.65.199.168", 2},
    {32, 0x1234, "27.176.108.230", 28},
    {32, 0x1234, "12.244.179.178", 17},
    {32, 0x1234, "110.202.130.141", 30},
    {32, 0x1234, "121.201.210.134", 7},
    {32, 0x1234, "166.129.14.118", 23},
    {32, 0x1234, "206.36.201.133", 14},
    {32, 0x1234, "207.100.113.89", 24},
    {32, 0x1234, "11.138.5.166", 15},
    {32, 0x1234, "189.34.26.88", 8},
    {32, 0x1234, "125.4.229.45", 10},
    {32, 0x1234, "79.46.61.67", 17},
    {32, 0x1234, "195.182.216.254", 17},
    {32, 0x1234, "216.68.126.53", 29},
    {32, 0x1234, "69.144.41.49", 18},
    {32, 0x1234, "162.85.212.193", 13},
    {32, 0x1234, "40.253.66.162", 21},
    {32, 0x1234, "37.43.143.31", 8},
    {32, 0x1234, "29.195.243.57", 27},
    {32, 0x1234, "92.67.17.147", 1},
    {32, 0x1234, "18.212.190.220", 17},
    {32, 0x1234, "16.182.230.227", 30},
    {32, 0x1234, "17.131.158.185", 16},
    {32, 0x1234, "177.72.167.221", 15},
    {32, 0x1234, "149.154.2.30", 25},
    {32, 0x1234, "13.91.65.63", 6},
    {32, 0x1234, "39.108.20.74", 4},
    {32, 0x1234, "24.152.138.217", 10},
    {32, 0x1234, "108.150.153.207", 27},
    {32, 0x1234, "186.189.103.249", 19},
    {32, 0x1234, "66.115.14.223", 6},
    {32, 0x1234, "47.19.12.66", 15},
    {32, 0x1234, "30e2:5717:76f:3787:b9d1:79e0:6c0f:d4f5", 1},
    {32, 0x1234, "3e0d:a7fd:7019:66a0:c381:e88f:38c0:c8fd", 15},
    {32, 0x1234, "2b0f:fa50:3bab:6c39:8d88:348a:7eed:8d14", 17},
    {32, 0x1234, "3859:af13:3802:8a9:ad45:f23d:3b1a:11df", 6},
    {32, 0x1234, "3da5:f13b:4a2f:20aa:f3c6:4af7:75a8:9294", 7},
    {32, 0x1234, "3d52:151e:d66b:829e:6a8a:c4ba:580:5975", 7},
    {32, 0x1234, "2333:33c7:a46d:6753:ec14:8cb4:8e73:ca47", 22},
    {32, 0x1234, "3728:cfd:fe17:5330:a11d:459a:2f97:8d87", 2},
    {32, 0x1234, "37c7:db81:1ef2:a4f0:4be0:3db0:dc25:74bd", 1},
    {32, 0x1234, "3f24:e1e9:b8b3:33a8:e544:6dd4:552b:82f6", 8},
    {32, 0x1234, "3ef3:62f5:efba:91fc:8034:68b6:b610:a9f7", 29},
    {32, 0x1234, "3d20:3c6b:d47d:380d:81f9:c1f6:6c0f:3459", 12},
    {32, 0x1234, "2917:d562:4da9:8f1d:3099:fdf5:ab99:254a", 16},
    {32, 0x1234, "2ffa:c622:e1ea:24c4:f934:1c68:966b:aea1", 6},
    {32, 0x1234, "2c96:5a57:815a:47c5:f0df:b4a5:d8a0:64df", 8},
    {32, 0x1234, "2f5e:4f7:8d6:af57:da71:1448:96c8:da19", 27},
    {32, 0x1234, "2cef:ed97:cc22:af58:be65:21cc:3e24:34e3", 4},
    {32, 0x1234, "2bbf:7a7a:2c4a:3698:aa2c:a1af:6a10:7b75", 20},
    {32, 0x1234, "38d3:a97b:b3fa:7aa7:e1fa:b9d7:8c7e:134f", 11},
    {32, 0x1234, "22c4:57af:5fec:898f:bcfb:b050:acab:1a6b", 20},
    {32, 0x1234, "30e2:5717:8547:a92:103d:71e6:1c50:1ee2", 1},
    {32, 0x1234, "3e0d:a7fd:59f1:4704:4c9:eb6c:2361:aae8", 15},
    {32, 0x1234, "2b0f:fa50:5f07:3180:5a8f:24f4:fbb1:b551", 17},
    {32, 0x1234, "3859:af13:8394:82ea:d019:7fc1:65c0:8306", 6},
    {4, 0xdeadbeef, "45.101.177.245", 2},
    {4, 0xdeadbeef, "156.183.88.74", 2},
    {4, 0xdeadbeef, "15.241.106.223", 0},
    {4, 0xdeadbeef, "216.97.62.48", 2},
    {4, 0xdeadbeef, "206.134.187.196", 1},
    {4, 0xdeadbeef, "27.39.196.209", 2},
    {4, 0xdeadbeef, "76.76.52.60", 0},
    {4, 0xdeadbeef, "41.47.235.137", 1},
    {4, 0xdeadbeef, "137.212.213.123", 0},
    {4, 0xdeadbeef, "205.206.111.68", 2},
    {4, 0xdeadbeef, "126.17.216.163", 1},
    {4, 0xdeadbeef, "131.229.16.97", 2},
    {4, 0xdeadbeef, "30e2:5717:76f:3787:b9d1:79e0:6c0f:d4f5", 0},
    {4, 0xdeadbeef, "3e0d:a7fd:7019:66a0:c381:e88f:38c0:c8fd", 3},
    {4, 0xdeadbeef, "2b0f:fa50:3bab:6c39:8d88:348a:7eed:8d14", 0},
    {4, 0xdeadbeef, "3859:af13:3802:8a9:ad45:f23d:3b1a:11df", 3},
    {4, 0xdeadbeef, "3da5:f13b:4a2f:20aa:f3c6:4af7:75a8:9294", 3},
    {4, 0xdeadbeef, "3d52:151e:d66b:829e:6a8a:c4ba:580:5975", 0},
    {4, 0xdeadbeef, "2333:33c7:a46d:6753:ec14:8cb4:8e73:ca47", 2},
    {4, 0xdeadbeef, "3728:cfd:fe17:5330:a11d:459a:2f97:8d87", 3},
    {4, 0xdeadbeef, "37c7:db81:1ef2:a4f0:4be0:3db0:dc25:74bd", 0},
    {4, 0xdeadbeef, "3f24:e1e9:b8b3:33a8:e544:6dd4:552b:82f6", 3},
    {4, 0xdeadbeef, "3ef3:62f5:efba:91fc:8034:68b6:b610:a9f7", 3},
    {4, 0xdeadbeef, "3d20:3c6b:d47d:380d:81f9:c1f6:6c0f:3459", 0},
    {4, 0xdeadbeef, "2917:d562:4da9:8f1d:3099:fdf5:ab99:254a", 0},
    {4, 0xdeadbeef, "2ffa:c622:e1ea:24c4:f934:1c68:966b:aea1", 1},
    {4, 0xdeadbeef, "2c96:5a57:815a:47c5:f0df:b4a5:d8a0:64df", 3},
    {4, 0xdeadbeef, "2f5e:4f7:8d6:af57:da71:1448:96c8:da19", 2},
    {4, 0xdeadbeef, "2cef:ed97:cc22:af58:be65:21cc:3e24:34e3", 2},
    {4, 0xdeadbeef, "2bbf:7a7a:2c4a:3698:aa2c:a1af:6a10:7b75", 0},
    {4, 0xdeadbeef, "38d3:a97b:b3fa:7aa7:e1fa:b9d7:8c7e:134f", 3},
    {4, 0xdeadbeef, "22c4:57af:5fec:898f:bcfb:b050:acab:1a6b", 3},
    {4, 0xdeadbeef, "30e2:5717:8547:a92:103d:71e6:1c50:1ee2", 0},
    {4, 0xdeadbeef, "3e0d:a7fd:59f1:4704:4c9:eb6c:2361:aae8", 3},
    {4, 0xdeadbeef, "2b0f:fa50:5f07:3180:5a8f:24f4:fbb1:b551", 0},
    {4, 0xdeadbeef, "3859:af13:8394:82ea:d019:7fc1:65c0:8306", 3},
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
