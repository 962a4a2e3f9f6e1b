// libcuda.so.1 that stands in for the driver; see standin.h.
#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "standin.h"

using namespace standin;

namespace {

// Small where something is done with each byte, as large as an H200 where nothing is.
const int MULTIPROCESSORS = 4, L2 = 1 << 20;
const uint64_t MEMORY = 140ull << 30;
const uint64_t MOST_SET = 1 << 20, MOST_FILLED = 32 << 10;
const double LAUNCH_S = 3e-6, FILL_RATE = 3e12;
const unsigned STATIC_SHARED = 48 << 10, MOST_SHARED = 227 << 10;

struct Event {
  bool recorded = false, done = false;
  double at_s = 0;
};
struct Graph {
  std::vector<Node> nodes;
};
struct Stream {
  std::vector<Node> pending;
  Graph* captured = nullptr;
  bool invalid = false;
  double now_s = 0;
};
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

template <typename T>
std::set<T*>& live() {
  static std::set<T*> all;
  return all;
}

std::map<std::string, int> calls, made;
std::vector<std::string> wrongs;
std::map<uint64_t, uint64_t> memory;
Stream default_stream;
int sticky = OK;
bool current = false;

template <typename T>
T* use(const char* call, void* handle) {
  auto found = live<T>().find((T*)handle);
  if (found != live<T>().end()) return *found;
  standin_wrong(call, "a handle that is none, or was destroyed");
  return nullptr;
}

template <typename T>
T* make(const char* kind) {
  T* object = new T();
  live<T>().insert(object);
  standin_made(kind, 1);
  return object;
}

// The object stays: a handle is not used again for another one.
template <typename T>
int destroy(const char* call, const char* kind, void* handle) {
  T* object = use<T>(call, handle);
  if (!object) return INVALID_HANDLE;
  live<T>().erase(object);
  standin_made(kind, -1);
  return OK;
}

// Does what is on a stream.
void flush(Stream& stream) {
  std::vector<Node> pending;
  pending.swap(stream.pending);
  for (const Node& node : pending) {
    if (node.work && sticky == OK) node.work();
    stream.now_s += node.seconds;
  }
}

int wait(const char* call, Stream& stream) {
  if (stream.captured) {
    standin_wrong(call, "waits for a stream that is captured");
    stream.invalid = true;
    return CAPTURE_UNSUPPORTED;
  }
  flush(stream);
  return sticky;
}

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

void report() {
  const char* folder = getenv("ROLLCAST_STANDIN");
  if (!folder) return;
  FILE* file = fopen((std::string(folder) + "/report").c_str(), "w");
  if (!file) return;
  for (const std::string& wrong : wrongs) fprintf(file, "WRONG %s\n", wrong.c_str());
  for (const auto& kind : made)
    if (kind.second != 0) fprintf(file, "LEFT %s %d\n", kind.first.c_str(), kind.second);
  for (const auto& call : calls) fprintf(file, "%s %d\n", call.first.c_str(), call.second);
  fclose(file);
}

}  // namespace

#define CALL(name) \
  if (int error = standin_call(name)) return error

extern "C" {

int standin_call(const char* name) {
  const int count = ++calls[name];
  const size_t length = strlen(name);
  for (const char* fault = getenv("ROLLCAST_STANDIN_FAULT"); fault && *fault;) {
    int at = 0, error = 0;
    if (strncmp(fault, name, length) == 0 && sscanf(fault + length, ":%d:%d", &at, &error) == 2 && at == count) {
      // Below 700 it is this call's own failure.
      if (error >= ILLEGAL_ADDRESS) sticky = error;
      return error;
    }
    fault = strchr(fault, ',');
    if (fault) fault++;
  }
  return sticky;
}

void standin_wrong(const char* call, const char* rule) { wrongs.push_back(std::string(call) + ": " + rule); }

bool standin_allocated(uint64_t at, uint64_t bytes) {
  auto after = memory.upper_bound(at);
  if (after == memory.begin()) return false;
  --after;
  return at + bytes <= after->first + after->second;
}

int standin_enqueue(void* handle, const Node& node) {
  Stream* stream = use<Stream>("a launch", handle);
  if (!stream) return INVALID_HANDLE;
  (stream->captured ? stream->captured->nodes : stream->pending).push_back(node);
  return OK;
}

void standin_made(const char* kind, int by) { made[kind] += by; }

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

int cuCtxSynchronize() {
  CALL("cuCtxSynchronize");
  flush(default_stream);
  for (Stream* stream : live<Stream>()) {
    if (int error = wait("cuCtxSynchronize", *stream)) return error;
  }
  return sticky;
}

int cuStreamCreate(void** stream, unsigned flags) {
  CALL("cuStreamCreate");
  if (!current) return INVALID_CONTEXT;
  if (flags != 1) standin_wrong("cuStreamCreate", "a stream that waits for the default one");
  *stream = make<Stream>("stream");
  return OK;
}

int cuStreamDestroy_v2(void* handle) { return destroy<Stream>("cuStreamDestroy", "stream", handle); }

int cuStreamSynchronize(void* handle) {
  CALL("cuStreamSynchronize");
  Stream* stream = use<Stream>("cuStreamSynchronize", handle);
  return stream ? wait("cuStreamSynchronize", *stream) : INVALID_HANDLE;
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
  const unsigned char* given = (const unsigned char*)parameters[0];
  const uint32_t grid[3] = {x, y, z};
  return standin_enqueue(stream, launched(*function, grid, tx, shared, {given, given + function->bytes}));
}

int cuStreamBeginCapture_v2(void* handle, int) {
  CALL("cuStreamBeginCapture");
  Stream* stream = use<Stream>("cuStreamBeginCapture", handle);
  if (!stream) return INVALID_HANDLE;
  if (stream->captured) {
    standin_wrong("cuStreamBeginCapture", "the stream is captured already");
    return INVALID_VALUE;
  }
  stream->captured = make<Graph>("graph");
  stream->invalid = false;
  return OK;
}

int cuStreamEndCapture(void* handle, void** graph) {
  *graph = nullptr;
  Stream* stream = use<Stream>("cuStreamEndCapture", handle);
  if (!stream || !stream->captured) return INVALID_HANDLE;
  Graph* captured = stream->captured;
  stream->captured = nullptr;
  const int error = standin_call("cuStreamEndCapture");
  if (stream->invalid || error) {
    destroy<Graph>("cuStreamEndCapture", "graph", captured);
    return error ? error : CAPTURE_INVALIDATED;
  }
  *graph = captured;
  return OK;
}

int cuGraphGetNodes(void* handle, void** nodes, size_t* count) {
  CALL("cuGraphGetNodes");
  Graph* graph = use<Graph>("cuGraphGetNodes", handle);
  if (!graph || nodes) return INVALID_VALUE;
  *count = graph->nodes.size();
  return OK;
}

int cuGraphDestroy(void* handle) {
  CALL("cuGraphDestroy");
  return destroy<Graph>("cuGraphDestroy", "graph", handle);
}

// What can be launched: how long it takes is all that is kept of its nodes.
struct Executable {
  double seconds = 0;
};

int cuGraphInstantiateWithFlags(void** executable, void* handle, unsigned long long) {
  CALL("cuGraphInstantiate");
  Graph* graph = use<Graph>("cuGraphInstantiate", handle);
  if (!graph) return INVALID_HANDLE;
  Executable* made = make<Executable>("executable graph");
  for (const Node& node : graph->nodes) made->seconds += node.seconds;
  *executable = made;
  return OK;
}

int cuGraphUpload(void* executable, void* stream) {
  CALL("cuGraphUpload");
  const bool both = use<Executable>("cuGraphUpload", executable) && use<Stream>("cuGraphUpload", stream);
  return both ? OK : INVALID_HANDLE;
}

int cuGraphLaunch(void* handle, void* stream) {
  CALL("cuGraphLaunch");
  Executable* executable = use<Executable>("cuGraphLaunch", handle);
  return executable ? standin_enqueue(stream, {nullptr, executable->seconds}) : INVALID_HANDLE;
}

int cuGraphExecDestroy(void* handle) {
  return destroy<Executable>("cuGraphExecDestroy", "executable graph", handle);
}

int cuEventCreate(void** event, unsigned) {
  CALL("cuEventCreate");
  *event = make<Event>("event");
  return OK;
}

int cuEventRecord(void* handle, void* on) {
  CALL("cuEventRecord");
  Event* event = use<Event>("cuEventRecord", handle);
  Stream* stream = use<Stream>("cuEventRecord", on);
  if (!event || !stream) return INVALID_HANDLE;
  event->recorded = true;
  event->done = false;
  return standin_enqueue(on, {[=] {
                                event->done = true;
                                event->at_s = stream->now_s;
                              },
                              0});
}

int cuEventSynchronize(void* handle) {
  CALL("cuEventSynchronize");
  Event* event = use<Event>("cuEventSynchronize", handle);
  if (!event) return INVALID_HANDLE;
  for (Stream* stream : live<Stream>()) {
    if (int error = event->done ? OK : wait("cuEventSynchronize", *stream)) return error;
  }
  return sticky;
}

int cuEventElapsedTime_v2(float* ms, void* from, void* to) {
  CALL("cuEventElapsedTime");
  Event *start = use<Event>("cuEventElapsedTime", from), *end = use<Event>("cuEventElapsedTime", to);
  if (!start || !end || !start->recorded || !end->recorded) return INVALID_HANDLE;
  if (!start->done || !end->done) {
    standin_wrong("cuEventElapsedTime", "events that are not over");
    return NOT_READY;
  }
  *ms = (float)(1e3 * (end->at_s - start->at_s));
  return OK;
}

int cuEventElapsedTime(float* ms, void* from, void* to) { return cuEventElapsedTime_v2(ms, from, to); }

int cuEventDestroy_v2(void* handle) { return destroy<Event>("cuEventDestroy", "event", handle); }

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
