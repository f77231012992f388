// The evaluation where chains are few and what counts is the time of one step: two chains of a network of two hidden
// layers of Width units and a scalar head. The same sums as Evaluator<2>'s, in the same order.
//
// Such a step is one long chain of dependent instructions, so nothing is looked up on the way: the activation is known
// to the compiler, a thread has its biases and places in registers, and what it reads from shared memory in its longest
// sums it reads ahead. In registers too are the second layer's weights (HeldWeights); in their place in shared memory
// stands the first layer's transpose, which the way back reads in rows.
#pragma once

#include "kernels/energy/energy.cuh"

namespace ebm {

template <int Width, ActivationKind Kind>
class PairEvaluator : public Evaluator<2> {
 public:
  static bool serves(const NetworkView& net) {
    return net.layers == 3 && !net.logits && net.activation == Kind && net.layer[0].out == Width &&
           net.layer[1].out == Width && net.dim <= Width;
  }

  // `image` is the block's own, in shared memory. Called by the whole block.
  __device__ PairEvaluator(const NetworkView& net, const TileLayout& layout, float* image, float* rows)
      : Evaluator<2>{net, layout, image, rows, {}, {}} {
    const LayerView &first = net.layer[0], &second = net.layer[1], &last = net.layer[2];
    held.load(lane, second, image);
    __syncthreads();
    for (int i = threadIdx.x; i < first.in_pad * Width; i += Lane<2>::kThreads) {
      const int k = i / Width, u = i % Width;
      image[second.weight + k * kPitch + u] = image[first.weight + u * first.pitch + k];
    }
    const int unit = lane.held_unit();
    if (unit < Width) {
      first_bias_ = image[first.bias + unit];
      second_bias_ = image[second.bias + unit];
      w_out_ = image[last.weight + unit];
    }
    inputs_ = first.in_pad;
    first_row_ = first.weight + unit * first.pitch;
    transposed_row_ = second.weight + unit * kPitch;
    const auto at = [&](int row) { return static_cast<int>(rows - image) + 2 * row; };
    for (int l = 0; l < 2; ++l) {
      activation_[l] = at(layout.activation[l]);
      delta_[l] = at(layout.delta[l]);
    }
    __syncthreads();
    keep_in_registers();
  }

  template <class Meanwhile>
  __device__ __forceinline__ float energy_gradient(const float* x, float* gradient, const Meanwhile& meanwhile) const {
    const int unit = lane.held_unit(), input = lane.held_input();
    if (unit < Width) {
      Values<2> z{{first_bias_, first_bias_}};
      add_products(inputs_, image + first_row_, x, z);
      put_unit(0, unit, z, 1.0f);
    }
    __syncthreads();
    meanwhile();
    if (unit < Width)
      put_unit(1, unit, held.sum<Width>(image + activation_[0], {{second_bias_, second_bias_}}), w_out_);
    __syncthreads();
    put_energy_part(x);
    if (input >= 0 && input < Width) {
      const Values<2> sum = held.sum<Width>(image + delta_[1], {});
      float* const to = shared_rows() + delta_[0] + 2 * input;
      const Values<2> slope = load<2>(to);
      store(to, Values<2>{{slope.v[0] * sum.v[0], slope.v[1] * sum.v[1]}});
    }
    __syncthreads();
    if (unit < inputs_) {
      Values<2> sum{};
      const float *const w = image + transposed_row_, *const delta = image + delta_[0];
#pragma unroll
      for (int u = 0; u < Width; u += 4) add_quad(load4(w + u), delta + 2 * u, sum);
      multiply_add(2.0f * net.half_confinement, load<2>(x + 2 * unit), sum);
      store(gradient + 2 * unit, sum);
    }
    __syncthreads();
    return sum_parts<2>(row(layout.parts + kEnergyParts), lane.chain) + image[net.layer[2].bias];
  }

 private:
  static constexpr int kPitch = padded_pitch(Width);

  __device__ float* shared_rows() const { return const_cast<float*>(image); }

  __device__ static void add_quad(const float4& w, const float* rows, Values<2>& sum) {
    Values<2> a[4];
    load_rows<2>(rows, a);
    multiply_add(w.x, a[0], sum);
    multiply_add(w.y, a[1], sum);
    multiply_add(w.z, a[2], sum);
    multiply_add(w.w, a[3], sum);
  }
  // sum += w[0 .. end-1] . rows; end is a multiple of 4.
  __device__ static void add_products(int end, const float* w, const float* rows, Values<2>& sum) {
    int k = 0;
#pragma unroll 1
    for (; k + 32 <= end; k += 32) {
#pragma unroll
      for (int i = 0; i < 32; i += 4) add_quad(load4(w + k + i), rows + 2 * (k + i), sum);
    }
#pragma unroll 1
    for (; k < end; k += 4) add_quad(load4(w + k), rows + 2 * k, sum);
  }
  // a and act' of a unit, times `factor`.
  __device__ __forceinline__ void put_unit(int l, int unit, const Values<2>& z, float factor) const {
    Values<2> value, slope;
    activate_as<Kind>(z, value, slope);
    store(shared_rows() + activation_[l] + 2 * unit, value);
    if (l == 1) slope = {{factor * slope.v[0], factor * slope.v[1]}};
    store(shared_rows() + delta_[l] + 2 * unit, slope);
  }
  // Not to be computed or read anew at every step, which the compiler would do to have more registers free.
  __device__ __forceinline__ void keep_in_registers() {
    asm volatile("" : "+f"(first_bias_), "+f"(second_bias_), "+f"(w_out_));
    asm volatile("" : "+r"(inputs_), "+r"(first_row_), "+r"(transposed_row_));
    asm volatile("" : "+r"(activation_[0]), "+r"(activation_[1]), "+r"(delta_[0]), "+r"(delta_[1]));
  }

  float first_bias_ = 0.0f, second_bias_ = 0.0f, w_out_ = 0.0f;  // of this thread's unit
  int inputs_;                                                   // D, padded
  int first_row_, transposed_row_;                               // of this thread, from the image on
  int activation_[2], delta_[2];                                 // rows of TileLayout, from the image on
};

}  // namespace ebm
