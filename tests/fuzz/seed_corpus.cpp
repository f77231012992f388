// Writes valid files of every kind for the fuzzers to start from: seed_corpus DIRECTORY makes DIRECTORY/fuzz_FORMAT/*.
#include <minizip/zip.h>

#include <filesystem>

#include "ebmcuda/files.hpp"
#include "host/files/npy.hpp"
#include "host/files/safetensors.hpp"
#include "host/training/checkpoint.hpp"

namespace {

using namespace ebm;
using std::filesystem::path;

Mlp model_of(Head head) {
  MlpShape shape;
  shape.dim = 2;
  shape.hidden = {3, 2};
  shape.head = head;
  shape.outputs = head == Head::scalar ? 1 : 3;
  shape.confinement = 0.5f;
  Mlp model = Mlp::random(shape, 1);
  model.set_standardization(Standardization{{0, 1}, {1, 2}});
  model.notes()["note"] = "\"quoted\" \xc3\xa9";
  return model;
}

// As np.savez does, and np.savez_compressed.
void write_archive(const path& file, const path& arrays, int level) {
  zipFile zip = zipOpen64(file.c_str(), APPEND_STATUS_CREATE);
  for (const char* name : {"matrix.npy", "x.npy"}) {
    const path source = arrays / (std::string_view(name) == "x.npy" ? "vector.npy" : name);
    const InputFile input(source);
    std::vector<char> bytes(input.size());
    input.read(0, std::as_writable_bytes(std::span(bytes)));
    const zip_fileinfo info{};
    zipOpenNewFileInZip64(zip, name, &info, nullptr, 0, nullptr, 0, nullptr, level == 0 ? 0 : Z_DEFLATED, level, 1);
    zipWriteInFileInZip(zip, bytes.data(), static_cast<unsigned>(bytes.size()));
    zipCloseFileInZip(zip);
  }
  zipClose(zip, nullptr);
}

void write_sequential(const path& file) {
  const std::vector<float> v(6, 0.5f);
  const std::span<const float> values(v);
  write_safetensors(
      file,
      {TensorData::of("0.weight", {3, 2}, values), TensorData::of("0.bias", {3}, values.first(3)),
       TensorData::of("2.weight", {1, 3}, values.first(3)), TensorData::of("2.bias", {1}, values.first(1))},
      {});
}

Checkpoint checkpoint_of(ChainStart start, Sampler sampler) {
  Checkpoint checkpoint{model_of(Head::logits), {}, {}, {}, 1234567890123456789u};
  TrainerOptions& options = checkpoint.options;
  options.objective.chain_start = start;
  options.objective.sampler = std::move(sampler);
  options.objective.buffer.capacity = 4;
  TrainingState& state = checkpoint.state;
  state.parameters.assign(checkpoint.model.parameters().begin(), checkpoint.model.parameters().end());
  state.adam_m = state.adam_v = std::vector<float>(state.parameters.size());
  state.ema = state.parameters;
  state.step_size = 0.01f;
  if (start == ChainStart::persistent) {
    state.buffer_x.assign(8, 0.5f);
    state.buffer_steps.assign(4, 77);
  }
  return checkpoint;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const path root = arguments[1];
  const auto directory = [&](const char* name) {
    std::filesystem::create_directories(root / name);
    return root / name;
  };
  for (const char* fuzzer : {"fuzz_model", "fuzz_safetensors"}) {
    const path models = directory(fuzzer);
    model_of(Head::scalar).save(models / "scalar");
    model_of(Head::logits).save(models / "logits");
    write_sequential(models / "sequential");
  }
  const path checkpoints = directory("fuzz_checkpoint");
  write_checkpoint(
      checkpoints / "langevin",
      checkpoint_of(
          ChainStart::persistent,
          LangevinDynamics{.step_size = 0.1f, .noise_scale = 0.2f, .grad_clip = 0.3f, .clamp = Box{{-1}, {1}}}));
  write_checkpoint(checkpoints / "mala", checkpoint_of(ChainStart::data, Mala{}));
  Checkpoint tempered = checkpoint_of(ChainStart::persistent, Mala{});
  tempered.options.objective.tempering = Tempering{.replicas = 2, .inverse_temperatures = std::vector<float>{1, 0.5f}};
  tempered.state.buffer_x.assign(16, 0.5f);
  write_checkpoint(checkpoints / "tempered", tempered);

  const Matrix matrix(3, 2, {0, -1.5f, 2e-7f, 3, 4e9f, 5});
  const path arrays = directory("fuzz_npy");
  write_matrix(arrays / "matrix.npy", matrix);
  write_vector(arrays / "vector.npy", std::vector<float>{1, 2, 3});
  write_labels(arrays / "labels.npy", std::vector<int>{0, 1, 2});
  const path tables = directory("fuzz_csv");
  write_matrix(tables / "matrix.csv", matrix);
  write_labels(tables / "labels.csv", std::vector<int>{0, 1, 2});
  write_file(tables / "header.csv", "x, \"y\"\r\n1,+2.5\r\nnan,-inf\r\n\r\n");
  write_file(tables / "text.csv", "a;\"b \"\"c\"\"\"\r\"x\ny\";1.5\r# no row\rNA;2\r");
  write_file(tables / "blanks.csv", "a b\n1  2 \n\n3\t4\n#N/A 5\n");
  const path configs = directory("fuzz_toml");
  write_file(configs / "train.toml",
             "# comment\nsteps = 1_000\nstep_size = 1e-2\nhidden = [128, 128]\nclamp = [-3, 3.5]\n"
             "sampler = \"mala\"\noverwrite = true\nprogress = false\nshare = 0.25\n");
  write_file(configs / "unicode.toml", "step\xcd\x91s = 1\nsampler = \"\xc3\xa9\"\n");
  write_file(configs / "nested.toml", "[table]\nday = 1979-05-27T07:32:00Z\ninline = {a = [1, [2]], b = '''\nc'''}\n");
  const path logs = directory("fuzz_jsonl");
  write_file(logs / "log.jsonl",
             "{\"iteration\":5,\"energy_gap\":-0.25,\"seconds\":0.5,\"spread\":null}\n"
             "{\"iteration\":10,\"seconds\":1}\n{\"iteration\":15,\"sec");
  const path archives = directory("fuzz_npz");
  write_archive(archives / "stored.npz", arrays, 0);
  write_archive(archives / "deflated.npz", arrays, 6);
  return 0;
}
