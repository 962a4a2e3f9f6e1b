// The part of libcuda.so that stands in for the device, its memory, modules and launches; see standin.h.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "state.h"

using namespace standin;

namespace {

// Small where something is done with each byte, as large as an H200 where nothing is.
const int MULTIPROCESSORS = 4, L2 = 1 << 20;
const uint64_t MEMORY = 140ull << 30;
const uint64_t MOST_SET = 1 << 20, MOST_FILLED = 32 << 10;
const double LAUNCH_S = 3e-6, FILL_RATE = 3e12;
const unsigned STATIC_SHARED = 48 << 10, MOST_SHARED = 227 << 10;

struct Module {
  long long (*bytes)(const char*);
  const char* (*run)(const char*, const uint32_t*, uint32_t, uint32_t, const unsigned char*, size_t);
};
struct Function {
  Module* module;
  std::string name;
  size_t bytes;
  unsigned shared = STATIC_SHARED;
};

uint64_t number(const unsigned char* from, unsigned bytes) {
  uint64_t x = 0;
  memcpy(&x, from, bytes);
  return x;
}

// What a launch does, and how long it is said to take.
Node launched(const Function& function, const uint32_t (&grid)[3], unsigned threads, unsigned shared,
              std::vector<unsigned char> given) {
  // A little noise, so that intervals have a width.
  static uint64_t state = 1;
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  const double seconds = LAUNCH_S * (1 + 0.002 * ((double)(state >> 33) / (1ull << 31) - 0.5));
  const std::string name = function.name;
  if (name == "spin") return {nullptr, 1e-9 * number(given.data(), 8)};
  if (name == "clocks") {
    return {[given] {
              const uint64_t clocks[2] = {99000, 50000};
              memcpy((void*)number(given.data(), 8), clocks, sizeof clocks);
            },
            50e-6};
  }
  // A cache that is flushed, and operands as large as a model's: nothing to see, much to do. (A grid that is wider than
  // this device is a check's, which looks at the numbers.)
  if (name == "read" && number(given.data() + 8, 8) == 0) return {nullptr, seconds};
  if (name == "fill" && number(given.data() + 8, 8) > MOST_FILLED && grid[0] <= 8 * MULTIPROCESSORS)
    return {nullptr, seconds};
  Module* module = function.module;
  return {[=] {
            const char* error = module->run(name.c_str(), grid, threads, shared, given.data(), given.size());
            if (!error) return;
            standin_wrong(name.c_str(), error);
            sticky = LAUNCH_FAILED;
          },
          seconds};
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return standin_call("cuInit"); }

int cuDriverGetVersion(int* version) {
  *version = 13000;
  return standin_call("cuDriverGetVersion");
}

int cuDeviceGet(int* device, int ordinal) {
  CALL("cuDeviceGet");
  if (ordinal != 0) return 101;
  *device = 0;
  return OK;
}

int cuDeviceGetName(char* name, int length, int) {
  CALL("cuDeviceGetName");
  // No device that `fit` knows: what is measured here must not become a profile.
  snprintf(name, length, "Stand-in");
  return OK;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  CALL("cuDeviceGetAttribute");
  switch (attribute) {
    case 16: *value = MULTIPROCESSORS; return OK;
    case 38: *value = L2; return OK;
    case 75: *value = 9; return OK;
    case 76: *value = 0; return OK;
  }
  standin_wrong("cuDeviceGetAttribute", "an attribute that nobody should ask for");
  return INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  CALL("cuDevicePrimaryCtxRetain");
  static int it;
  *context = &it;
  standin_made("context", 1);
  return OK;
}

int cuDevicePrimaryCtxRelease_v2(int) {
  standin_made("context", -1);
  current = false;
  report();
  return OK;
}

int cuCtxSetCurrent(void* context) {
  CALL("cuCtxSetCurrent");
  current = context != nullptr;
  return OK;
}

int cuMemGetInfo_v2(size_t* left, size_t* total) {
  CALL("cuMemGetInfo");
  *left = *total = MEMORY;
  for (const auto& block : memory) *left -= block.second;
  return OK;
}

// Pages come when they are touched; behind the end there is none.
int cuMemAlloc_v2(uint64_t* at, size_t bytes) {
  CALL("cuMemAlloc");
  const uint64_t page = 4096, size = (bytes + page - 1) / page * page;
  void* got = mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED || bytes == 0) return OUT_OF_MEMORY;
  mprotect((char*)got + size, page, PROT_NONE);
  *at = (uint64_t)got;
  memory[*at] = bytes;
  standin_made("memory", 1);
  return OK;
}

int cuMemFree_v2(uint64_t at) {
  auto found = memory.find(at);
  if (found == memory.end()) {
    standin_wrong("cuMemFree", "memory that was not allocated");
    return INVALID_VALUE;
  }
  munmap((void*)at, found->second);
  memory.erase(found);
  standin_made("memory", -1);
  return OK;
}

// Copies are on the default stream; the others do not wait for it, nor it for them. One to the device returns when what is
// copied may change, which is before it has arrived.
int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
  CALL("cuMemcpyHtoD");
  if (!standin_allocated(to, bytes)) {
    standin_wrong("cuMemcpyHtoD", "memory that is not allocated");
    return INVALID_VALUE;
  }
  std::string staged((const char*)from, bytes);
  default_stream.pending.push_back({[=] { memcpy((void*)to, staged.data(), bytes); }, 0});
  return OK;
}

int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
  CALL("cuMemcpyDtoH");
  if (!standin_allocated(from, bytes)) {
    standin_wrong("cuMemcpyDtoH", "memory that is not allocated");
    return INVALID_VALUE;
  }
  flush(default_stream);
  memcpy(to, (void*)from, bytes);
  return OK;
}

int cuMemsetD8Async(uint64_t at, unsigned char byte, size_t bytes, void* stream) {
  CALL("cuMemsetD8Async");
  if (!standin_allocated(at, bytes)) {
    standin_wrong("cuMemsetD8Async", "memory that is not allocated");
    return INVALID_VALUE;
  }
  const Node node = {[=] {
                       if (bytes <= MOST_SET) memset((void*)at, byte, bytes);
                     },
                     LAUNCH_S + bytes / FILL_RATE};
  return standin_enqueue(stream, node);
}

// Device code is the name of a planted bug behind a mark (compiler.cpp).
int cuModuleLoadData(void** module, const void* code) {
  CALL("cuModuleLoadData");
  const char* text = (const char*)code;
  const char* folder = getenv("ROLLCAST_STANDIN");
  if (!folder || strncmp(text, "standin ", 8) != 0) return 200;
  void* library = dlopen((std::string(folder) + "/module" + (text + 8) + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    standin_wrong("cuModuleLoadData", dlerror());
    return NOT_FOUND;
  }
  Module* made = make<Module>("module");
  *(void**)&made->bytes = dlsym(library, "rollcast_kernel_bytes");
  *(void**)&made->run = dlsym(library, "rollcast_kernel_run");
  *module = made;
  return OK;
}

int cuModuleGetFunction(void** function, void* handle, const char* name) {
  CALL("cuModuleGetFunction");
  Module* module = use<Module>("cuModuleGetFunction", handle);
  if (!module) return INVALID_HANDLE;
  // Two read clocks that a host has not.
  const bool ours = strcmp(name, "spin") == 0 || strcmp(name, "clocks") == 0;
  const long long bytes = ours ? 8 : module->bytes(name);
  if (bytes < 0) return NOT_FOUND;
  Function* made = make<Function>("function");
  made->module = module;
  made->name = name;
  made->bytes = (size_t)bytes;
  *function = made;
  return OK;
}

int cuFuncSetAttribute(void* handle, int attribute, int value) {
  CALL("cuFuncSetAttribute");
  Function* function = use<Function>("cuFuncSetAttribute", handle);
  if (!function) return INVALID_HANDLE;
  if (attribute == 8 && value >= 0 && value <= (int)MOST_SHARED) {
    function->shared = (unsigned)value;
    return OK;
  }
  if (attribute == 9 && value >= -1 && value <= 100) return OK;
  standin_wrong("cuFuncSetAttribute", "no such attribute, or out of its range");
  return INVALID_VALUE;
}

int cuLaunchKernel(void* handle, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty, unsigned tz,
                   unsigned shared, void* stream, void** parameters, void** extra) {
  CALL("cuLaunchKernel");
  Function* function = use<Function>("cuLaunchKernel", handle);
  if (!function) return INVALID_HANDLE;
  const uint64_t threads = (uint64_t)tx * ty * tz;
  if (x == 0 || y == 0 || z == 0 || x > 0x7fffffff || y > 65535 || z > 65535 || threads == 0 || threads > 1024 ||
      shared > function->shared || extra || !parameters) {
    standin_wrong("cuLaunchKernel", (function->name + " with a grid, a block or shared memory out of range").c_str());
    return INVALID_VALUE;
  }
  const char* most = getenv("ROLLCAST_STANDIN_BLOCKS");
  Stream* on = use<Stream>("cuLaunchKernel", stream);
  if (most && on && !on->captured && (uint64_t)x * y * z > strtoull(most, nullptr, 10)) return OUT_OF_RESOURCES;
  const unsigned char* given = (const unsigned char*)parameters[0];
  const uint32_t grid[3] = {x, y, z};
  return standin_enqueue(stream, launched(*function, grid, tx, shared, {given, given + function->bytes}));
}

int cuGetErrorName(int error, const char** text) {
  static std::string name;
  name = "STANDIN_ERROR_" + std::to_string(error);
  *text = name.c_str();
  return OK;
}

int cuGetErrorString(int, const char** text) {
  *text = "as the stand-in was told";
  return OK;
}

}  // extern "C"
