// The part of libcuda.so that stands in for streams, events, captures and graphs; and what is counted and broken.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "state.h"

namespace standin {

std::map<std::string, int> calls, made;
std::vector<std::string> wrongs;
std::map<uint64_t, uint64_t> memory;
Stream default_stream;
int sticky = OK;
bool current = false;

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

}  // namespace standin

using namespace standin;

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

}  // extern "C"
