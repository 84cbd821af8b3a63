// Packet rings; see rings.h.
//
// Who unmaps: ringClose(), which detaches the ArrayBuffer first, so that JavaScript that still holds views reads
// nothing instead of memory that is gone; or, when nobody closed it, the finaliser of the ArrayBuffer, which Node also
// runs when the environment ends.  The mapping outlives the descriptor.
#include "rings.h"

#include <linux/if_packet.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

class Mapping {
 public:
  Mapping(std::shared_ptr<Rings> rings, void* memory, size_t size)
      : rings_(std::move(rings)), memory_(memory), size_(size) {
    (*rings_)[memory_] = size_;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    rings_->erase(memory_);
    munmap(memory_, size_);
  }

  // Hands a mapping to a new ArrayBuffer; null, without a pending exception, where Node may not have external memory.
  static napi_value wrap(Napi::Env env, std::unique_ptr<Mapping> mapping) {
    napi_value buffer = nullptr;
    Mapping* raw = mapping.get();
    napi_status status = napi_create_external_arraybuffer(
        env, raw->memory_, raw->size_, [](napi_env, void*, void* hint) { delete static_cast<Mapping*>(hint); }, raw,
        &buffer);
    if (status == napi_no_external_buffers_allowed) return nullptr;
    if (status != napi_ok) throw Napi::Error::New(env);
    mapping.release();
    return buffer;
  }

 private:
  std::shared_ptr<Rings> rings_;
  void* memory_;
  size_t size_;
};

// ringOpen(fd, blockSize, blockCount, timeout): turns a packet socket into a ring of blocks and gives their memory, or
// -errno; -ENOTSUP where external ArrayBuffers are forbidden (the socket is of no use then).  `timeout` in ms is when a
// block with packets is handed over though it is not full.  Four bytes in
// front of each packet are left free, for a VLAN tag.
static Napi::Value ring_open(const Napi::CallbackInfo& info) {
  constexpr unsigned kFrame = 2048;  // counts for the kernel's check of the request only
  constexpr int kVlanRoom = 4;
  Napi::Env env = info.Env();
  int socket = owned_fd(info, 0, "fd");
  unsigned block_size = static_cast<unsigned>(integer(info, 1, "blockSize", 4096, 1 << 30));
  unsigned block_count = static_cast<unsigned>(integer(info, 2, "blockCount", 1, 1 << 16));
  unsigned timeout = static_cast<unsigned>(integer(info, 3, "timeout", 1, 60'000));
  size_t size = static_cast<size_t>(block_size) * block_count;
  if (block_size % static_cast<unsigned>(sysconf(_SC_PAGESIZE)) != 0 || size > UINT32_MAX) {
    throw Napi::RangeError::New(env, "blockSize: expected whole pages, and less than 4 GiB in all");
  }
  int version = TPACKET_V3;
  if (setsockopt(socket, SOL_PACKET, PACKET_VERSION, &version, sizeof version) != 0) return answer(env, -1);
  if (setsockopt(socket, SOL_PACKET, PACKET_RESERVE, &kVlanRoom, sizeof kVlanRoom) != 0) return answer(env, -1);
  tpacket_req3 request = {};
  request.tp_block_size = block_size;
  request.tp_block_nr = block_count;
  request.tp_frame_size = kFrame;
  request.tp_frame_nr = block_size / kFrame * block_count;
  request.tp_retire_blk_tov = timeout;
  if (setsockopt(socket, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) != 0) return answer(env, -1);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, socket, 0);
  if (memory == MAP_FAILED) return answer(env, -1);
  napi_value buffer = Mapping::wrap(env, std::make_unique<Mapping>(state(env).rings, memory, size));
  return buffer == nullptr ? number(env, -ENOTSUP) : Napi::Value(env, buffer);
}

// ringClose(buffer): takes the memory away; every view of it has length 0 from now on.  -ENOENT for a buffer that is no
// ring, or not any more.
//
// Anonymous pages, which cost nothing untouched, take the ring's place at once and free the kernel's memory.  The
// address range itself goes when the finaliser runs, and only then: nothing is unmapped twice.
static Napi::Value ring_close(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[0].IsArrayBuffer()) throw Napi::TypeError::New(env, "buffer: expected an ArrayBuffer");
  void* memory = nullptr;
  size_t length = 0;
  napi_get_arraybuffer_info(env, info[0], &memory, &length);
  Rings& rings = *state(env).rings;
  auto ring = rings.find(memory);
  if (memory == nullptr || ring == rings.end()) return number(env, -ENOENT);
  if (mmap(memory, ring->second, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
           0) == MAP_FAILED) {
    return answer(env, -1);
  }
  rings.erase(ring);
  napi_detach_arraybuffer(env, info[0]);
  return number(env, 0);
}

void add_rings(Napi::Env env, Napi::Object exports) {
  exports["ringOpen"] = Napi::Function::New(env, ring_open, "ringOpen");
  exports["ringClose"] = Napi::Function::New(env, ring_close, "ringClose");
}

}  // namespace cbpf
