// One good frame of every shape that the parser knows: what the differential test mutates and the
// fuzz corpus begins with.
#pragma once

#include <string>
#include <vector>

#include "support/packet_builder.h"

namespace flowsieve::test {

struct Sample {
  std::string name;
  LinkType link;
  ByteVector frame;
};

std::vector<Sample> samples();

}  // namespace flowsieve::test
