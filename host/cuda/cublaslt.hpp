// cuBLASLt behind dlopen, and the one kind of product that is asked of it. The library is half a gigabyte, and only
// networks of the layered path (host/cuda/layered.hpp) use it: a program that has none of them neither needs nor loads
// it.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include "host/cuda/context.hpp"

namespace ebm::cuda {

struct CublasLt {
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmul) matmul;

  std::string path;          // of the library's file
  std::string name() const;  // "cuBLASLt 13.0.2"

  // Null when no libcublasLt of this CUDA version is in any of cublaslt_places(). Looks once in the life of the
  // process.
  static const CublasLt* find();
  // Looks now.
  static std::optional<CublasLt> look();
};

// A handle of the library on the context's device.
class CublasLtHandle {
 public:
  CublasLtHandle(const CublasLt& library, std::shared_ptr<const Context> context);
  ~CublasLtHandle();
  CublasLtHandle(const CublasLtHandle&) = delete;
  CublasLtHandle& operator=(const CublasLtHandle&) = delete;

  // Throws DeviceError.
  void check(cublasStatus_t status, const char* what) const;
  const CublasLt& library() const noexcept { return library_; }
  cublasLtHandle_t get() const noexcept { return handle_; }

 private:
  const CublasLt& library_;
  std::shared_ptr<const Context> context_;
  cublasLtHandle_t handle_ = nullptr;
};

// out [rows, outer] = in [rows, inner] times a matrix, all fp32 with sums in fp32 (CUBLAS_COMPUTE_32F), row-major; rows
// of `in` and `out` follow one another without a gap. The matrix is W [outer, inner] transposed or W [inner, outer] as
// it is, `pitch` floats from one of its rows to the next.
struct ProductShape {
  std::int64_t rows;
  int inner, outer, pitch;
  bool transposed;
};

// Its algorithm is chosen once, for this shape, among those that need no workspace and split no sum: so every sum runs
// over `inner` in the algorithm's one order, wherever in `out` it stands. Widths are multiples of 4, pointers of 16
// bytes.
class Product {
 public:
  // With a bias [outer]: out = in W + bias.
  Product(std::shared_ptr<const CublasLtHandle> handle, const ProductShape& shape, const float* bias);

  // out = in W + beta * add; nothing is read from `add` where beta is 0.
  void queue(const float* weight, const float* in, float beta, const float* add, float* out, cudaStream_t stream) const;

 private:
  // The library's descriptors, in host memory.
  template <class Descriptor, class Destroy>
  using Owned = std::unique_ptr<std::remove_pointer_t<Descriptor>, Destroy>;
  using Layout = Owned<cublasLtMatrixLayout_t, decltype(CublasLt::layout_destroy)>;

  Layout layout(std::int64_t rows, std::int64_t columns, std::int64_t pitch) const;

  std::shared_ptr<const CublasLtHandle> handle_;
  Owned<cublasLtMatmulDesc_t, decltype(CublasLt::operation_destroy)> operation_;
  Layout weight_, in_, out_;
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace ebm::cuda
