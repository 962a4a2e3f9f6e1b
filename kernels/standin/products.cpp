// libcublasLt that stands in for the library of products: column-major operands, descriptors, a heuristic with one
// proposal that does not hold, and small products computed.
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "standin.h"

namespace {

enum { INVALID = 7, FAILED = 13, NOT_SUPPORTED = 15 };
enum { F32 = 0, BF16 = 14, E4M3 = 28, COMPUTE_F32 = 68 };

struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t stride;
};
struct Product {
  int transposed[2] = {0, 0};
  uint64_t scales[2] = {0, 0};
  char fast = 0;
};
struct Preference {
  uint64_t workspace = 0;
};
// As in the library's header.
struct Algorithm {
  uint64_t data[8];
};
struct Proposal {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

std::set<void*> live;

template <typename T>
T* make(const char* kind, const T& value) {
  T* object = new T(value);
  live.insert(object);
  standin_made(kind, 1);
  return object;
}

int destroy(const char* kind, void* handle) {
  if (!live.erase(handle)) {
    standin_wrong(kind, "destroyed twice, or never made");
    return INVALID;
  }
  standin_made(kind, -1);
  return 0;
}

int wrong(const char* call, const char* rule) {
  standin_wrong(call, rule);
  return INVALID;
}

uint64_t width(int type) { return type == F32 ? 4 : type == BF16 ? 2 : 1; }

double value(const void* from, int type, uint64_t at) {
  if (type == BF16) {
    uint32_t bits = (uint32_t)((const uint16_t*)from)[at] << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
  }
  const unsigned bits = ((const unsigned char*)from)[at], exponent = bits >> 3 & 15, digits = bits & 7;
  const double size = exponent ? ldexp(8 + digits, (int)exponent - 10) : ldexp(digits, -9);
  return bits & 0x80 ? -size : size;
}

uint16_t rounded(double x) {
  const float y = (float)x;
  uint32_t bits;
  memcpy(&bits, &y, 4);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Which product it is, so that a proposal for another one is told from it.
uint64_t problem(const Product& p, const Layout& a, const Layout& b, const Layout& d) {
  uint64_t hash = 1469598103934665603ull;
  for (uint64_t x : {a.rows, a.columns, b.rows, b.columns, d.rows, d.columns, (uint64_t)a.type, (uint64_t)p.fast})
    hash = (hash ^ x) * 1099511628211ull;
  return hash;
}

// What the documentation asks of operands; fp8 has rules of its own.
int check(const char* call, const Product& p, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const uint64_t m = p.transposed[0] ? a.columns : a.rows, ka = p.transposed[0] ? a.rows : a.columns;
  const uint64_t n = p.transposed[1] ? b.rows : b.columns, kb = p.transposed[1] ? b.columns : b.rows;
  if (ka != kb || d.rows != m || d.columns != n || c.rows != m || c.columns != n) return wrong(call, "sizes do not fit");
  for (const Layout* l : {&a, &b, &c, &d}) {
    if (l->stride < (int64_t)l->rows) return wrong(call, "columns that overlap");
  }
  if (a.type != b.type || c.type != d.type || d.type != BF16) return wrong(call, "types that do not go together");
  if (a.type == E4M3) {
    if (!p.transposed[0] || p.transposed[1]) return wrong(call, "fp8 has the first operand transposed, and no other");
    if (!standin_allocated(p.scales[0], 4) || !standin_allocated(p.scales[1], 4))
      return wrong(call, "fp8 without scales on the device");
    if (m % 16 || ka % 16) return NOT_SUPPORTED;
  } else if (p.fast || p.scales[0] || p.scales[1]) {
    return wrong(call, "settings of fp8");
  }
  return 0;
}

}  // namespace

#define CALL(name) \
  if (standin_call(name)) return FAILED

extern "C" {

size_t cublasLtGetVersion() { return 130000; }

int cublasLtCreate(void** handle) {
  CALL("cublasLtCreate");
  *handle = make("products", 0);
  return 0;
}

int cublasLtDestroy(void* handle) { return destroy("products", handle); }

int cublasLtMatmulDescCreate(void** product, int compute, int scale) {
  CALL("cublasLtMatmulDescCreate");
  if (compute != COMPUTE_F32 || scale != F32) return wrong("cublasLtMatmulDescCreate", "sums other than of f32");
  *product = make("product", Product());
  return 0;
}

int cublasLtMatmulDescDestroy(void* product) { return destroy("product", product); }

int cublasLtMatmulDescSetAttribute(void* handle, int attribute, const void* from, size_t bytes) {
  CALL("cublasLtMatmulDescSetAttribute");
  Product* product = (Product*)handle;
  if (!live.count(handle)) return wrong("cublasLtMatmulDescSetAttribute", "no product");
  auto set = [&](auto& to) {
    if (bytes != sizeof to) return wrong("cublasLtMatmulDescSetAttribute", "another size than the attribute's");
    memcpy(&to, from, bytes);
    return 0;
  };
  switch (attribute) {
    case 3: return set(product->transposed[0]);
    case 4: return set(product->transposed[1]);
    case 17: return set(product->scales[0]);
    case 18: return set(product->scales[1]);
    case 25: return set(product->fast);
  }
  return wrong("cublasLtMatmulDescSetAttribute", "an attribute that nobody should set");
}

int cublasLtMatrixLayoutCreate(void** layout, int type, uint64_t rows, uint64_t columns, int64_t stride) {
  CALL("cublasLtMatrixLayoutCreate");
  *layout = make("layout", Layout{type, rows, columns, stride});
  return 0;
}

int cublasLtMatrixLayoutDestroy(void* layout) { return destroy("layout", layout); }

int cublasLtMatmulPreferenceCreate(void** preference) {
  CALL("cublasLtMatmulPreferenceCreate");
  *preference = make("preference", Preference());
  return 0;
}

int cublasLtMatmulPreferenceDestroy(void* preference) { return destroy("preference", preference); }

int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* from, size_t bytes) {
  CALL("cublasLtMatmulPreferenceSetAttribute");
  if (!live.count(preference) || attribute != 1 || bytes != 8)
    return wrong("cublasLtMatmulPreferenceSetAttribute", "not bytes of workspace");
  memcpy(&((Preference*)preference)->workspace, from, 8);
  return 0;
}

int cublasLtMatmulAlgoGetHeuristic(void* handle, void* product, void* a, void* b, void* c, void* d, void* preference,
                                   int asked, Proposal* proposals, int* count) {
  *count = 0;
  CALL("cublasLtMatmulAlgoGetHeuristic");
  for (void* each : {handle, product, a, b, c, d, preference}) {
    if (!live.count(each)) return wrong("cublasLtMatmulAlgoGetHeuristic", "a handle that is none, or was destroyed");
  }
  const Product& p = *(Product*)product;
  if (int error = check("cublasLtMatmulAlgoGetHeuristic", p, *(Layout*)a, *(Layout*)b, *(Layout*)c, *(Layout*)d))
    return error;
  const uint64_t which = problem(p, *(Layout*)a, *(Layout*)b, *(Layout*)d);
  // Fewer than were asked for, and the second does not hold.
  for (int i = 0; i < 3 && i < asked; i++) {
    const int state = i == 1 ? NOT_SUPPORTED : 0;
    proposals[i] = Proposal{{{which, (uint64_t)i + 60}}, ((Preference*)preference)->workspace, state, 1.f, {}};
    *count = i + 1;
  }
  return 0;
}

int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int attribute, void* to, size_t bytes,
                                         size_t* written) {
  if (bytes != 4) return wrong("cublasLtMatmulAlgoConfigGetAttribute", "another size than the attribute's");
  const int32_t number = attribute == 0 ? (int32_t)algorithm->data[1] : attribute;
  memcpy(to, &number, 4);
  *written = 4;
  return 0;
}

int cublasLtMatmul(void* handle, void* product, const float* alpha, const void* from_a, void* la, const void* from_b,
                   void* lb, const float* beta, const void* from_c, void* lc, void* to, void* ld,
                   const Algorithm* algorithm, void* workspace, size_t bytes, void* stream) {
  const char* call = "cublasLtMatmul";
  CALL(call);
  for (void* each : {handle, product, la, lb, lc, ld}) {
    if (!live.count(each)) return wrong(call, "a handle that is none, or was destroyed");
  }
  const Product p = *(Product*)product;
  const Layout a = *(Layout*)la, b = *(Layout*)lb, c = *(Layout*)lc, d = *(Layout*)ld;
  if (int error = check(call, p, a, b, c, d)) return error;
  if (algorithm->data[0] != problem(p, a, b, d)) return wrong(call, "an algorithm for another product");
  if (!standin_allocated((uint64_t)workspace, bytes)) return wrong(call, "a workspace that is not allocated");
  const std::pair<const void*, const Layout*> operands[] = {{from_a, &a}, {from_b, &b}, {from_c, &c}, {to, &d}};
  for (const auto& operand : operands) {
    const uint64_t size = operand.second->columns * (uint64_t)operand.second->stride * width(operand.second->type);
    if ((uint64_t)operand.first % 16) return wrong(call, "an operand that is not at a multiple of 16 bytes");
    if (!standin_allocated((uint64_t)operand.first, size)) return wrong(call, "an operand that is not allocated");
  }
  if (*alpha != 1 || *beta != 0) return wrong(call, "other factors than one and zero");
  const uint64_t k = p.transposed[0] ? a.rows : a.columns;
  const double work = 2.0 * (double)(d.rows * d.columns * k);
  auto multiply = [=] {
    if (work > 1e9) return;
    for (uint64_t j = 0; j < d.columns; j++) {
      for (uint64_t i = 0; i < d.rows; i++) {
        double sum = 0;
        for (uint64_t l = 0; l < k; l++) {
          const uint64_t at_a = p.transposed[0] ? l + i * a.stride : i + l * a.stride;
          const uint64_t at_b = p.transposed[1] ? j + l * b.stride : l + j * b.stride;
          sum += value(from_a, a.type, at_a) * value(from_b, b.type, at_b);
        }
        ((uint16_t*)to)[i + j * d.stride] = rounded(sum);
      }
    }
  };
  return standin_enqueue(stream, {multiply, 4e-6 + work / 6e14}) ? FAILED : 0;
}

const char* cublasLtGetStatusName(int) { return "STANDIN_STATUS"; }

const char* cublasLtGetStatusString(int) { return "as the stand-in was told"; }

}  // extern "C"
