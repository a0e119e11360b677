// Which of several workers gets a packet: all packets between two hosts go to the same one.
//
// The kernel runs the program below for every packet and takes its result modulo the number of
// sockets in the group (PACKET_FANOUT_CBPF); a socket's place is the order in which it joined, and
// the last one moves into the gap when another leaves. So the sockets of a group are opened
// together, in the workers' order, and closed together.
//
//   IPv4, IPv6      source xor destination, folded to 32 bits: the same in both directions
//   ICMP(v6) error  the QUOTED packet's addresses: the error reaches the worker that has the
//                   connection, also when a router sent it. IPv6: behind at most three extension
//                   headers
//   anything else   worker 0, ARP among it
//
// then mixed by a multiplication, so that clients numbered in steps of two or four still spread
// over all workers.
//
// Only addresses count, no ports: later fragments have none. PACKET_FANOUT_FLAG_DEFRAG would put
// datagrams together before the steering, but the fragment tracker follows fragments anyway, a
// defragmented packet exceeds the MTU and so costs a second copy, and IPv6 would still need the
// fragments. The price: all connections of one client host share a worker.
//
// A fragmented ICMP error is steered by what each fragment shows: its first by the quotation, the
// later ones by the outer addresses.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "wire/ring_program.h"

namespace flowsieve {

/// Workers that can share a group; the kernel's own default limit.
inline constexpr size_t kFanoutMembersMax = 256;

/// The program for PACKET_FANOUT_DATA.
Program fanout_program();

/// What the program returns for the IP packet that begins at `ip` (its other outcome, "not IP", is
/// 0): the plain twin for tests.
uint32_t fanout_hash(Bytes ip);

/// Puts packet sockets, already bound, into one new fanout group, in this order. `outgoing` says
/// whether the group is to see what the node itself sends.
Status join_fanout(const std::vector<int>& sockets, bool outgoing);

}  // namespace flowsieve
