#include "host/cuda/cublaslt.hpp"

#include <fmt/format.h>

#include <utility>

#include "host/cuda/devices.hpp"
#include "host/cuda/library_places.hpp"
#include "host/cuda/load_library.hpp"

namespace ebm::cuda {

std::optional<CublasLt> CublasLt::look() {
  return open_first<CublasLt>(cublaslt_places(CUBLAS_VER_MAJOR), [](void* library, CublasLt& lt) {
    const bool right = take(library, "cublasLtGetVersion", lt.version) &&
                       take(library, "cublasLtGetStatusString", lt.status_string) &&
                       take(library, "cublasLtCreate", lt.create) && take(library, "cublasLtDestroy", lt.destroy) &&
                       take(library, "cublasLtMatmulDescCreate", lt.operation_create) &&
                       take(library, "cublasLtMatmulDescDestroy", lt.operation_destroy) &&
                       take(library, "cublasLtMatmulDescSetAttribute", lt.operation_set) &&
                       take(library, "cublasLtMatrixLayoutCreate", lt.layout_create) &&
                       take(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy) &&
                       take(library, "cublasLtMatmulPreferenceCreate", lt.preference_create) &&
                       take(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy) &&
                       take(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set) &&
                       take(library, "cublasLtMatmulAlgoGetHeuristic", lt.heuristic) &&
                       take(library, "cublasLtMatmul", lt.matmul) && lt.version() / 10000 == CUBLAS_VER_MAJOR;
    if (right) lt.path = file_of(lt.version);
    return right;
  });
}

const CublasLt* CublasLt::find() {
  static const std::optional<CublasLt> found = look();
  return found ? &*found : nullptr;
}

std::string CublasLt::name() const {
  const std::size_t v = version();
  return fmt::format("cuBLASLt {}.{}.{}", v / 10000, v / 100 % 100, v % 100);
}

std::string products_detail() {
  const CublasLt* const lt = CublasLt::find();
  if (lt == nullptr) return "matrix products none";
  return fmt::format("matrix products {}, {}", lt->name(), lt->path);
}

CublasLtHandle::CublasLtHandle(const CublasLt& library, std::shared_ptr<const Context> context)
    : library_(library), context_(std::move(context)) {
  check(library_.create(&handle_), "opening cuBLASLt");
}

CublasLtHandle::~CublasLtHandle() {
  context_->release([&] { library_.destroy(handle_); });
}

void CublasLtHandle::check(cublasStatus_t status, const char* what) const {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw DeviceError(static_cast<int>(status), false,
                    fmt::format("cuda:{}: {}: {}", context_->ordinal(), what, library_.status_string(status)));
}

// A row-major matrix: to the library, which counts by columns, its transpose.
Product::Layout Product::layout(std::int64_t rows, std::int64_t columns, std::int64_t pitch) const {
  const CublasLt& lt = handle_->library();
  cublasLtMatrixLayout_t made = nullptr;
  handle_->check(
      lt.layout_create(&made, CUDA_R_32F, static_cast<std::uint64_t>(columns), static_cast<std::uint64_t>(rows), pitch),
      "describing a matrix");
  return {made, lt.layout_destroy};
}

Product::Product(std::shared_ptr<const CublasLtHandle> handle, const ProductShape& shape, const float* bias)
    : handle_(std::move(handle)),
      operation_(nullptr, handle_->library().operation_destroy),
      weight_(layout(shape.transposed ? shape.outer : shape.inner, shape.transposed ? shape.inner : shape.outer,
                     shape.pitch)),
      in_(layout(shape.rows, shape.inner, shape.inner)),
      out_(layout(shape.rows, shape.outer, shape.outer)) {
  const CublasLt& lt = handle_->library();
  const auto check = [&](cublasStatus_t status) { handle_->check(status, "setting up a product"); };
  cublasLtMatmulDesc_t operation = nullptr;
  check(lt.operation_create(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  operation_.reset(operation);
  const auto set = [&](cublasLtMatmulDescAttributes_t which, const auto& value) {
    check(lt.operation_set(operation, which, &value, sizeof value));
  };
  // out^T = op(W^T) in^T.
  const cublasOperation_t of_weight = shape.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  set(CUBLASLT_MATMUL_DESC_TRANSA, of_weight);
  if (bias != nullptr) {
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }

  cublasLtMatmulPreference_t made = nullptr;
  check(lt.preference_create(&made));
  const Owned<cublasLtMatmulPreference_t, decltype(lt.preference_destroy)> preference(made, lt.preference_destroy);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t which, const auto& value) {
    check(lt.preference_set(preference.get(), which, &value, sizeof value));
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{0});
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  for (const auto which : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                           CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    prefer(which, std::uint32_t{16});
  }
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  check(lt.heuristic(handle_->get(), operation, weight_.get(), in_.get(), out_.get(), out_.get(), preference.get(), 1,
                     &best, &found));
  check(found == 0 ? CUBLAS_STATUS_NOT_SUPPORTED : best.state);
  algorithm_ = best.algo;
}

void Product::queue(const float* weight, const float* in, float beta, const float* add, float* out,
                    cudaStream_t stream) const {
  const float alpha = 1.0f;
  handle_->check(
      handle_->library().matmul(handle_->get(), operation_.get(), &alpha, weight, weight_.get(), in, in_.get(), &beta,
                                beta == 0.0f ? out : add, out_.get(), out, out_.get(), &algorithm_, nullptr, 0, stream),
      "launching a product");
}

}  // namespace ebm::cuda
