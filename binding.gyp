{
  # Node-API 8 everywhere: one binary serves Node 20 to 26.  Off Linux there is nothing to build.
  "variables": { "cbpf_asan%": 0 },
  "targets": [
    {
      "target_name": "cbpf",
      "conditions": [
        ["OS!='linux'", { "type": "none" }, {
          "sources": [
            "native/addon.cpp",
            "native/arguments.cpp",
            "native/owned_fds.cpp",
            "native/namespaces.cpp",
            "native/filters.cpp",
            "native/sockets.cpp",
            "native/interfaces.cpp",
            "native/polls.cpp",
            "native/deliver.cpp",
            "native/rings.cpp",
            "native/receive_block.cpp",
            "native/foreign.cpp",
            "native/close_on_thread.cpp"
          ],
          # A worker that is being terminated cannot be thrown at: the exception is dropped with its thread.
          "defines": [
            "NAPI_VERSION=8",
            "NODE_ADDON_API_DISABLE_DEPRECATED",
            "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
          ],
          "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
          "cflags_cc": ["-Wall", "-Wextra", "-fvisibility=hidden", "-pthread"],
          "ldflags": ["-pthread"]
        }],
        ["cbpf_asan==1", {
          "cflags_cc": ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
