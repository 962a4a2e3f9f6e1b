// Runs programs that come on standard input, and writes their buffers back. All numbers are little-endian.
// In: u32 buffers; for each u64 length, bytes. u32 launches; for each u32 length and name, u32 grid[3], threads, shared
// bytes, u32 pointers with an i32 each (-1: null), u32 scalars with 4 bytes each.
// Out: u32 length of an error and its text, or u32 0 and every buffer's bytes.
#include "kernels.h"

using host::Launch;

namespace {

bool read_all(void* to, size_t n) { return fread(to, 1, n, stdin) == n; }

uint32_t number() {
  uint32_t x = 0;
  if (!read_all(&x, 4)) exit(1);
  return x;
}

}  // namespace

int main() {
  for (;;) {
    uint32_t count = 0;
    if (!read_all(&count, 4)) return 0;
    std::vector<std::vector<unsigned char>> buffers(count);
    for (auto& buffer : buffers) {
      uint64_t length = 0;
      if (!read_all(&length, 8)) return 1;
      // Room behind the end that must stay as it is.
      buffer.assign(length + 64, 0xa5);
      if (length && !read_all(buffer.data(), length)) return 1;
    }
    std::vector<Launch> launches(number());
    for (Launch& launch : launches) {
      launch.name.resize(number());
      if (!read_all(&launch.name[0], launch.name.size())) return 1;
      for (uint32_t& x : launch.grid) x = number();
      launch.threads = number();
      launch.shared = number();
      for (uint32_t n = number(); n > 0; n--) {
        int32_t index = (int32_t)number();
        void* address = index < 0 ? nullptr : buffers[index].data();
        launch.parameters.insert(launch.parameters.end(), (unsigned char*)&address, (unsigned char*)(&address + 1));
      }
      for (uint32_t n = number(); n > 0; n--) {
        uint32_t x = number();
        launch.parameters.insert(launch.parameters.end(), (unsigned char*)&x, (unsigned char*)(&x + 1));
      }
      while (launch.parameters.size() % 8) launch.parameters.push_back(0);
    }
    std::string error;
    for (const Launch& launch : launches) {
      if (error.empty()) error = host::run(launch);
    }
    for (const auto& buffer : buffers)
      for (size_t i = buffer.size() - 64; i < buffer.size() && error.empty(); i++)
        if (buffer[i] != 0xa5) error = "a kernel wrote behind the end of a buffer";
    uint32_t length = (uint32_t)error.size();
    fwrite(&length, 4, 1, stdout);
    if (length) {
      fwrite(error.data(), 1, length, stdout);
    } else {
      for (const auto& buffer : buffers) fwrite(buffer.data(), 1, buffer.size() - 64, stdout);
    }
    fflush(stdout);
  }
}
