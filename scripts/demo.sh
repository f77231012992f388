#!/usr/bin/env bash
# Sets up, builds the `ebm` program, and does the main job on real data: trains an energy-based model on handwritten
# digits, judges it on digits it has not seen, draws samples; then the same for a density whose truth is known.
# Pictures and numbers land in out/demo (or OUT). About five minutes on two cores. It is built for the CPU alone, so
# that it runs everywhere and a CUDA toolkit on the machine does not add minutes of compiling kernels.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${OUT:-out/demo}
build=${BUILD_DIR:-build/demo}
say() { printf '\n== %s\n' "$*"; }

say "set-up and build, for the CPU alone (log: $build.log)"
scripts/setup.sh build
mkdir -p "$out" "$(dirname "$build")"
if ! { cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEBMCUDA_TESTS=OFF -DEBMCUDA_BENCH=OFF -DEBMCUDA_EXAMPLES=OFF -DEBMCUDA_CUDA=OFF &&
       cmake --build "$build"; } >"$build.log" 2>&1; then
  tail -n 30 "$build.log" >&2
  exit 1
fi
ebm=$build/tools/ebm
"$ebm" info

say "digits: 1797 images of 8x8 pixels; four fifths to train on, one fifth held out"
"$ebm" data data/digits.csv --columns 0:64 --out "$out/train.npy" --held-out "$out/held_out.npy" --held-out-share 0.2

say "train E(x), an MLP 64-128-128-1, by maximum likelihood with persistent chains"
"$ebm" train "$out/train.npy" --dequantize 1 --out "$out/digits.safetensors" --log "$out/digits.jsonl"
"$ebm" plot "$out/digits.jsonl" --out "$out/training.png"

say "judge it: log-likelihood of the held-out digits by annealed importance sampling, beside baselines"
"$ebm" evaluate "$out/digits.safetensors" "$out/held_out.npy" --train "$out/train.npy" --dequantize 1 >"$out/digits.json" ||
  echo "no point value: see $out/digits.json"
cat "$out/digits.json"

say "new digits from chains that start at random noise"
"$ebm" sample "$out/digits.safetensors" --chains 100 --langevin-steps 5000 --out "$out/samples.npy" >"$out/samples.json"
"$ebm" plot "$out/samples.npy" --image 8x8 --range 0,17 --out "$out/samples.png"

say "half a digit: the lower halves of held-out digits, drawn given the upper ones"
"$ebm" plot "$out/digits.safetensors" --fix "0:32=$out/held_out.npy" --dequantize 1 --data "$out/held_out.npy" --image 8x8 --range 0,17 \
  --out "$out/completed.png"

say "two moons: a density whose best attainable log-likelihood is known exactly (-1.007584)"
"$ebm" data two_moons --n 8192 --out "$out/moons.npy"
"$ebm" data two_moons --n 65536 --first 8192 --out "$out/fresh_moons.npy"
"$ebm" train "$out/moons.npy" --out "$out/moons.safetensors" --log "$out/moons.jsonl"
"$ebm" evaluate "$out/moons.safetensors" "$out/fresh_moons.npy" --train "$out/moons.npy" --density two_moons >"$out/moons.json"
cat "$out/moons.json"
"$ebm" plot "$out/moons.safetensors" --density two_moons --out "$out/two_moons.png"

say "anomalies: 30 measurements of cell nuclei; trained on benign ones alone, asked about benign and malignant ones"
# Column 30 becomes 1 for malignant. Of the benign rows three fifths train, one fifth sets the threshold, one fifth and all
# malignant rows are the test.
awk -F, -v OFS=, -v to="$out/nuclei_" 'NR > 1 {
  $31 = 1 - $31
  print > (to ($31 == 1 || NR % 5 == 4 ? "test" : NR % 5 < 3 ? "train" : "held_out") ".csv")
}' data/breast_cancer.csv
"$ebm" train "$out/nuclei_train.csv" --columns 0:30 --out "$out/nuclei.safetensors"
"$ebm" score "$out/nuclei.safetensors" "$out/nuclei_test.csv" --label-column 30 --held-out "$out/nuclei_held_out.csv" \
  --out "$out/nuclei_scores.csv" --picture "$out/anomalies.png" >"$out/nuclei.json"

value() { sed -n "s/^ *\"$2\": \([^,]*\),*$/\1/p" "$1" | head -n 1; }
{
  echo "digits, held-out log-likelihood in nats (64 dimensions, whole numbers plus uniform noise)"
  echo "  this model          $(value "$out/digits.json" mean_log_likelihood)  (standard error of log Z $(value "$out/digits.json" log_z_stderr))"
  echo "  Gaussian            $(value "$out/digits.json" gaussian)"
  echo "  Gaussian copula     $(value "$out/digits.json" gaussian_copula)"
  echo "  Gaussian mixture    $(value "$out/digits.json" gaussian_mixture)"
  echo "two moons, fresh points"
  echo "  this model          $(value "$out/moons.json" mean_log_likelihood)"
  echo "  best attainable     -1.007584"
  echo "malignant cell nuclei told from benign ones, trained on benign ones alone"
  echo "  area under the ROC curve  $(value "$out/nuclei.json" auroc)"
  echo "  detected                  $(value "$out/nuclei.json" detection_rate) at a false-alarm rate of $(sed -n '/detection/,$ s/^ *"false_alarm_rate": \([^,]*\),*$/\1/p' "$out/nuclei.json")"
} >"$out/summary.txt"
say "summary ($out/summary.txt)"
cat "$out/summary.txt"
echo "pictures: $out/samples.png $out/completed.png $out/two_moons.png $out/anomalies.png $out/training.png"
