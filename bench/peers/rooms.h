// The two rooms of this program.
#pragma once

#include "figures.h"

namespace flowsieve::peers {

/// peers/hit, peers/miss, peers/open_close, peers/memory, peers/longest and dram/line.
void run_tables(const Options& options);

/// peers/timer/refresh and peers/timer/expire.
void run_timers(const Options& options);

}  // namespace flowsieve::peers
