{
  # node-gyp builds the addon from every room of native/; the CMake build compiles the same files (CMakeLists.txt).
  "targets": [
    {
      "target_name": "flowsieve",
      "sources": ["<!@(node -p \"require('fs').readdirSync('native').flatMap(r=>require('fs').statSync('native/'+r).isDirectory()?require('fs').readdirSync('native/'+r).filter(f=>f.endsWith('.cc')).map(f=>'native/'+r+'/'+f):[]).join(' ')\")"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_ADDON_API_CPP_EXCEPTIONS"],
      "cflags_cc!": ["-fno-rtti", "-fno-exceptions", "-std=gnu++17", "-std=gnu++20"],
      "cflags_cc": ["-std=c++20", "-fexceptions", "-O3", "-Wall", "-Wextra", "-Wno-cast-function-type"],
      "libraries": ["-lpthread"]
    }
  ]
}
