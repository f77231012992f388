// Work captured once as a CUDA graph and replayed.
#pragma once

#include <utility>

#include "host/cuda/context.hpp"

namespace ebm::cuda {

class Graph {
 public:
  // Captures what `queue(stream)` queues. The capture has a stream of its own, so the context's may be any, the
  // caller's default stream included. Throws DeviceError, and then nothing is left over.
  template <class Queue>
  Graph(std::shared_ptr<const Context> context, Queue&& queue) : context_(std::move(context)) {
    const CaptureStream capture(*context_);
    capture.begin();
    try {
      queue(capture.get());
    } catch (...) {
      capture.abandon();
      throw;
    }
    executable_ = capture.end();
  }
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // Queues the graph on the context's stream.
  void launch() const;

 private:
  class CaptureStream {
   public:
    explicit CaptureStream(const Context& context);
    ~CaptureStream();
    CaptureStream(const CaptureStream&) = delete;
    CaptureStream& operator=(const CaptureStream&) = delete;
    cudaStream_t get() const noexcept { return stream_; }
    void begin() const;
    cudaGraphExec_t end() const;
    void abandon() const noexcept;

   private:
    const Context& context_;
    cudaStream_t stream_ = nullptr;
  };

  std::shared_ptr<const Context> context_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace ebm::cuda
