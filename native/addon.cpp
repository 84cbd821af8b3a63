// The addon's door: makes the state of this environment and collects the functions of the other files.
#include "addon.h"

namespace cbpf {

State& state(Napi::Env env) { return *env.GetInstanceData<State>(); }

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new State);  // deleted, and so every owned fd closed, when the environment ends
  add_filters(env, exports);
  add_sockets(env, exports);
  add_interfaces(env, exports);
  add_namespaces(env, exports);
  add_polls(env, exports);
  add_deliver(env, exports);
  add_rings(env, exports);
  add_receive_block(env, exports);
  add_foreign(env, exports);
  add_close_on_thread(env, exports);
  return exports;
}

}  // namespace cbpf

static Napi::Object Init(Napi::Env env, Napi::Object exports) { return cbpf::init(env, exports); }
NODE_API_MODULE(cbpf, Init)
