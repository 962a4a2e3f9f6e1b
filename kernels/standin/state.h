// What the driver's two files share: objects behind handles, streams, what is counted and what was broken.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "standin.h"

#define CALL(name) \
  if (int error = standin_call(name)) return error

namespace standin {

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
extern std::map<std::string, int> calls, made;
extern std::vector<std::string> wrongs;
// Allocations by where they begin.
extern std::map<uint64_t, uint64_t> memory;
extern Stream default_stream;
// What broke the context.
extern int sticky;
extern bool current;

template <typename T>
inline std::set<T*>& live() {
  static std::set<T*> all;
  return all;
}

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
void flush(Stream& stream);
// Does it, unless the stream is captured: the error.
int wait(const char* call, Stream& stream);
// Writes the report.
void report();

}  // namespace standin
