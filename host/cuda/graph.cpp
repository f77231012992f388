#include "host/cuda/graph.hpp"

namespace ebm::cuda {

Graph::~Graph() {
  context_->release([&] { cudaGraphExecDestroy(executable_); });
}

void Graph::launch() const {
  context_->check(cudaGraphLaunch(executable_, context_->stream()), "launching the captured iteration");
}

Graph::CaptureStream::CaptureStream(const Context& context) : context_(context) {
  context_.check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Graph::CaptureStream::~CaptureStream() {
  context_.release([&] { cudaStreamDestroy(stream_); });
}

void Graph::CaptureStream::begin() const {
  context_.check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capturing the iteration");
}

cudaGraphExec_t Graph::CaptureStream::end() const {
  cudaGraph_t graph = nullptr;
  context_.check(cudaStreamEndCapture(stream_, &graph), "ending the capture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t code = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  context_.check(code, "instantiating the captured iteration");
  return executable;
}

void Graph::CaptureStream::abandon() const noexcept {
  if (context_.lost()) return;
  cudaGraph_t graph = nullptr;
  if (cudaStreamEndCapture(stream_, &graph) == cudaSuccess && graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
}

}  // namespace ebm::cuda
