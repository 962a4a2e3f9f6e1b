// A driver, a compiler and a library of products that stand in for NVIDIA's, so that the host's half of a run on a GPU
// can be run where there is none: every call, its order, its handles and sizes, what is captured, what is waited for,
// what is given back. They are held to what the driver's and the library's documentation says:
// - a stream works later: what is put on it happens when it is waited for, and a wait that is missing is seen;
// - a handle is what it was made as, and dead once destroyed; a context that is broken stays broken;
// - a stream that is captured may not be waited for, nor the context.
// Kernels of single launches are run on the host (kernels/host/library.cpp), those of graphs only counted, and time is
// made up: what such a run measures means nothing. What this cannot show: that machine code computes what its source
// says, how fast it is, what a real driver refuses beyond what is written here.
//
// For tests, by environment: ROLLCAST_STANDIN is the folder of the modules, and of `report`, which is written when the
// context is released; ROLLCAST_STANDIN_FAULT=call:n:error,... breaks the n-th such call;
// ROLLCAST_STANDIN_BLOCKS refuses single launches of more blocks, for who has no time for laws.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace standin {

// What is done when a stream comes to it, and what it then takes. A graph does not do it.
struct Node {
  std::function<void()> work;
  double seconds;
};

// Errors of the driver.
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
       NOT_READY = 600, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701, LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };

}  // namespace standin

extern "C" {
// Counts a call; not 0 where the context is broken, or this call is to break it.
int standin_call(const char* name);
// Notes that a call broke a rule.
void standin_wrong(const char* call, const char* rule);
// Whether a range is allocated.
bool standin_allocated(uint64_t at, uint64_t bytes);
// Puts something on a stream; not 0 where that is no stream.
int standin_enqueue(void* stream, const standin::Node& node);
// Counts what is made and given back, by kind.
void standin_made(const char* kind, int by);
}
