// Many messages of a packet socket with one system call, written as a block of a TPACKET_V3 ring would hold them.
//
// So one reader in TypeScript serves both ways of capturing.  The memory is JavaScript's own, which works where
// external ArrayBuffers are forbidden.
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "addon.h"
#include "arguments.h"

namespace cbpf {

// A slot: tpacket3_hdr and sockaddr_ll as in a ring, room for a VLAN tag, then the packet.
constexpr size_t kAddressAt = TPACKET_ALIGN(sizeof(tpacket3_hdr));
constexpr size_t kPacketAt = 96;
constexpr size_t kMessages = 64;
static_assert(kAddressAt + sizeof(sockaddr_ll) + 4 <= kPacketAt);

struct Control {
  alignas(cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(timespec)) + 64];
};

static void write_header(uint8_t* slot, size_t slot_size, bool last, const mmsghdr& message) {
  tpacket3_hdr header = {};
  header.tp_next_offset = last ? 0 : static_cast<uint32_t>(slot_size);
  header.tp_len = message.msg_len;
  header.tp_mac = kPacketAt;
  header.tp_net = kPacketAt;
  msghdr info = message.msg_hdr;
  for (cmsghdr* item = CMSG_FIRSTHDR(&info); item != nullptr; item = CMSG_NXTHDR(&info, item)) {
    if (item->cmsg_level == SOL_PACKET && item->cmsg_type == PACKET_AUXDATA) {
      tpacket_auxdata data;
      std::memcpy(&data, CMSG_DATA(item), sizeof data);
      header.tp_status = data.tp_status;
      header.tp_len = data.tp_len;
      header.tp_net = static_cast<uint16_t>(kPacketAt + (data.tp_net - data.tp_mac));
      header.hv1.tp_vlan_tci = data.tp_vlan_tci;
      header.hv1.tp_vlan_tpid = data.tp_vlan_tpid;
    } else if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPNS) {
      timespec time;
      std::memcpy(&time, CMSG_DATA(item), sizeof time);
      header.tp_sec = static_cast<uint32_t>(time.tv_sec);
      header.tp_nsec = static_cast<uint32_t>(time.tv_nsec);
    }
  }
  header.tp_snaplen = static_cast<uint32_t>(std::min<size_t>(message.msg_len, slot_size - kPacketAt));
  std::memcpy(slot, &header, sizeof header);
}

// receiveBlock(fd, block, slotSize): fills `block`, a tpacket_block_desc and then slots, with the messages that wait,
// at most 64.  Returns their number, or -errno (-EAGAIN when there are none).
static Napi::Value receive_block(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int socket = owned_fd(info, 0, "fd");
  View<uint8_t> block = bytes(info, 1, "block");
  size_t slot_size = static_cast<size_t>(integer(info, 2, "slotSize", kPacketAt + 8, 1 << 24));
  constexpr size_t first = TPACKET_ALIGN(sizeof(tpacket_block_desc));
  size_t slots = block.length < first ? 0 : std::min((block.length - first) / slot_size, kMessages);
  if (slot_size % 8 != 0 || slots == 0) {
    throw Napi::RangeError::New(env, "slotSize: expected a multiple of 8 that fits into the block");
  }
  mmsghdr messages[kMessages];
  iovec parts[kMessages];
  Control controls[kMessages];
  for (size_t i = 0; i < slots; i++) {
    uint8_t* slot = block.data + first + i * slot_size;
    parts[i] = {slot + kPacketAt, slot_size - kPacketAt};
    messages[i] = {};
    msghdr& header = messages[i].msg_hdr;
    header.msg_name = slot + kAddressAt;
    header.msg_namelen = sizeof(sockaddr_ll);
    header.msg_iov = &parts[i];
    header.msg_iovlen = 1;
    header.msg_control = controls[i].bytes;
    header.msg_controllen = sizeof controls[i].bytes;
  }
  int count = recvmmsg(socket, messages, static_cast<unsigned>(slots), MSG_DONTWAIT | MSG_TRUNC, nullptr);
  if (count < 0) return answer(env, -1);
  for (int i = 0; i < count; i++) {
    write_header(block.data + first + static_cast<size_t>(i) * slot_size, slot_size, i == count - 1, messages[i]);
  }
  tpacket_block_desc descriptor = {};
  descriptor.version = TPACKET_V3;
  descriptor.hdr.bh1.block_status = TP_STATUS_USER;
  descriptor.hdr.bh1.num_pkts = static_cast<uint32_t>(count);
  descriptor.hdr.bh1.offset_to_first_pkt = first;
  std::memcpy(block.data, &descriptor, sizeof descriptor);
  return number(env, count);
}

void add_receive_block(Napi::Env env, Napi::Object exports) {
  exports["receiveBlock"] = Napi::Function::New(env, receive_block, "receiveBlock");
}

}  // namespace cbpf
