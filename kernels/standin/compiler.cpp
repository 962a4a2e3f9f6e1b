// libnvrtc that stands in for the compiler: it looks at what it is given, and its machine code is the name of the planted
// bug, for the stand-in driver to load the kernels of.
#include <cstring>
#include <string>

#include "standin.h"

namespace {

struct Program {
  std::string code;
  bool compiled = false;
};

const int INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6;

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return 0;
}

const char* nvrtcGetErrorString(int) { return "as the stand-in was told"; }

int nvrtcCreateProgram(void** program, const char* source, const char* name, int headers, const char* const* texts,
                       const char* const* names) {
  if (int error = standin_call("nvrtcCreateProgram")) return error;
  // Every header that a source names must be there.
  bool whole = strstr(source, "KERNEL(") && strstr(name, ".cu") && headers > 0;
  for (const char* at = strstr(source, "#include \""); at && whole; at = strstr(at + 1, "#include \"")) {
    bool there = false;
    for (int i = 0; i < headers; i++)
      there |= strncmp(at + 10, names[i], strlen(names[i])) == 0 && strstr(texts[i], "#pragma once");
    whole = there;
  }
  if (!whole) {
    standin_wrong("nvrtcCreateProgram", "not a source with its headers");
    return INVALID_INPUT;
  }
  *program = new Program();
  standin_made("program", 1);
  return 0;
}

int nvrtcCompileProgram(void* handle, int count, const char* const* options) {
  if (int error = standin_call("nvrtcCompileProgram")) return error < 700 ? error : COMPILATION;
  Program* program = (Program*)handle;
  program->code = "standin ";
  bool hopper = false;
  for (int i = 0; i < count; i++) {
    hopper |= strcmp(options[i], "--gpu-architecture=sm_90a") == 0;
    if (strncmp(options[i], "-D", 2) == 0) program->code += options[i] + 2;
  }
  if (!hopper) {
    standin_wrong("nvrtcCompileProgram", "not for Hopper: machine code would not be made");
    return INVALID_OPTION;
  }
  program->compiled = true;
  return 0;
}

int nvrtcGetCUBINSize(void* program, size_t* size) {
  if (!((Program*)program)->compiled) return INVALID_PROGRAM;
  *size = ((Program*)program)->code.size() + 1;
  return 0;
}

int nvrtcGetCUBIN(void* program, char* code) {
  if (!((Program*)program)->compiled) return INVALID_PROGRAM;
  strcpy(code, ((Program*)program)->code.c_str());
  return 0;
}

int nvrtcGetProgramLogSize(void*, size_t* size) {
  *size = 22;
  return 0;
}

int nvrtcGetProgramLog(void*, char* log) {
  memcpy(log, "no log of a stand-in\n", 22);
  return 0;
}

int nvrtcDestroyProgram(void** program) {
  delete (Program*)*program;
  *program = nullptr;
  standin_made("program", -1);
  return 0;
}

}  // extern "C"
