// Packet rings (TPACKET_V3): memory that the kernel fills and JavaScript reads, without a copy.
//
// A ring is known by its memory: JavaScript hands back the ArrayBuffer, never a pointer or a number.
#pragma once

#include <cstddef>
#include <memory>
#include <unordered_map>

namespace cbpf {

// Where the open rings of this environment begin, and their sizes in bytes.  Each mapping holds the table too, since
// an ArrayBuffer may be collected after the environment's state is gone.
using Rings = std::unordered_map<const void*, size_t>;

}  // namespace cbpf
