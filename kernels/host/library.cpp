// The kernels on the host as a library: what the stand-in driver (kernels/standin) loads as a module. Built once for
// each planted bug.
#include "kernels.h"

// Bytes of a kernel's struct; none where there is no such kernel.
extern "C" long long rollcast_kernel_bytes(const char* name) {
  const host::Kernel* kernel = host::named(name);
  return kernel ? (long long)kernel->size : -1;
}

// Runs one launch; what is wrong with it, or null.
extern "C" const char* rollcast_kernel_run(const char* name, const uint32_t grid[3], uint32_t threads, uint32_t shared,
                                           const unsigned char* parameters, size_t bytes) {
  static std::string error;
  error = host::run({name, {grid[0], grid[1], grid[2]}, threads, shared, {parameters, parameters + bytes}});
  return error.empty() ? nullptr : error.c_str();
}
