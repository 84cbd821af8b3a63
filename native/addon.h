// What the files of the addon share: the state of one environment, and the functions each file adds to the exports.
//
// Nothing is static: every Node environment (main thread or worker) that loads the addon has its own state, and its
// end closes what it opened.  Functions answer as system calls do: a result that is not negative, or -errno.  What is
// no proper argument throws a TypeError or RangeError instead.  Policy, texts and retries are TypeScript's.
#pragma once

#include <napi.h>

#include "owned_fds.h"
#include "polls.h"
#include "rings.h"

namespace cbpf {

struct State {
  OwnedFds fds;
  Polls polls;  // destroyed before the descriptors they watch
  std::shared_ptr<Rings> rings = std::make_shared<Rings>();
};

State& state(Napi::Env env);

void add_filters(Napi::Env env, Napi::Object exports);
void add_sockets(Napi::Env env, Napi::Object exports);
void add_interfaces(Napi::Env env, Napi::Object exports);
void add_namespaces(Napi::Env env, Napi::Object exports);
void add_polls(Napi::Env env, Napi::Object exports);
void add_deliver(Napi::Env env, Napi::Object exports);
void add_rings(Napi::Env env, Napi::Object exports);
void add_receive_block(Napi::Env env, Napi::Object exports);
void add_foreign(Napi::Env env, Napi::Object exports);
void add_close_on_thread(Napi::Env env, Napi::Object exports);

}  // namespace cbpf
