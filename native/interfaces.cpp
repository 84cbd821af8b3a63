// Network interfaces: asking about one, bringing it up, and making a tap.  The socket that asks decides the namespace.
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "addon.h"
#include "arguments.h"
#include "namespaces.h"

namespace cbpf {

// interfaceInfo(fd, name): { index, flags, mtu, hatype, address }, or -errno
static Napi::Value interface_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int socket = owned_fd(info, 0, "fd");
  ifreq request = {};
  text(info, 1, "name", request.ifr_name, IFNAMSIZ);
  Napi::Object out = Napi::Object::New(env);
  if (ioctl(socket, SIOCGIFINDEX, &request) != 0) return answer(env, -1);
  out["index"] = number(env, request.ifr_ifindex);
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return answer(env, -1);
  out["flags"] = number(env, static_cast<unsigned short>(request.ifr_flags));
  if (ioctl(socket, SIOCGIFMTU, &request) != 0) return answer(env, -1);
  out["mtu"] = number(env, request.ifr_mtu);
  if (ioctl(socket, SIOCGIFHWADDR, &request) != 0) return answer(env, -1);
  out["hatype"] = number(env, request.ifr_hwaddr.sa_family);
  Napi::Uint8Array address = Napi::Uint8Array::New(env, 6);
  std::memcpy(address.Data(), request.ifr_hwaddr.sa_data, 6);
  out["address"] = address;
  return out;
}

// interfaceUp(fd, name): sets IFF_UP.  Needs CAP_NET_ADMIN.
static Napi::Value interface_up(const Napi::CallbackInfo& info) {
  int socket = owned_fd(info, 0, "fd");
  ifreq request = {};
  text(info, 1, "name", request.ifr_name, IFNAMSIZ);
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return answer(info.Env(), -1);
  request.ifr_flags |= IFF_UP;
  return answer(info.Env(), ioctl(socket, SIOCSIFFLAGS, &request));
}

// openTap(name, netns): a tap interface without packet information, gone when its descriptor closes.
static Napi::Value open_tap(const Napi::CallbackInfo& info) {
  ifreq request = {};
  text(info, 0, "name", request.ifr_name, IFNAMSIZ);
  int netns = fd(info, 1, "netns");  // never the caller's own namespace by accident
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  int tap = in_namespace(netns, [&] {
    int opened = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0 || ioctl(opened, TUNSETIFF, &request) == 0) return opened;
    int error = errno;
    close(opened);
    errno = error;
    return -1;
  });
  return answer(info.Env(), state(info.Env()).fds.take(tap));
}

void add_interfaces(Napi::Env env, Napi::Object exports) {
  exports["interfaceInfo"] = Napi::Function::New(env, interface_info, "interfaceInfo");
  exports["interfaceUp"] = Napi::Function::New(env, interface_up, "interfaceUp");
  exports["openTap"] = Napi::Function::New(env, open_tap, "openTap");
}

}  // namespace cbpf
