#include <algorithm>
#include <cmath>

#include "ebmcuda/device.hpp"
#include "ebmcuda/files.hpp"
#include "tools/program.hpp"

namespace ebm::test {
namespace {

class Energy : public ProgramTest {
 protected:
  Mlp write_model(Head head = Head::scalar, int outputs = 1) const {
    MlpShape shape;
    shape.dim = 2;
    shape.hidden = {6};
    shape.head = head;
    shape.outputs = outputs;
    shape.confinement = 0.2f;
    Mlp model = Mlp::random(shape, 4);
    model.set_standardization(Standardization{{1, 0}, {2, 0.5f}});
    model.save(path("m.safetensors"));
    return model;
  }
};

TEST_F(Energy, FileAndStdoutHoldTheLibrarysValues) {
  const Mlp model = write_model();
  write_ring("x.npy");
  const Matrix x = read_matrix(path("x.npy"));
  const auto expected = energy(model, x, Device::cpu());
  EXPECT_EQ(succeed({"energy", "m.safetensors", "x.npy", "--out", "e.npy"}).out, "");
  const Matrix written = read_matrix(path("e.npy"));
  EXPECT_TRUE(std::ranges::equal(written.values(), expected));
  write("stdout.csv", succeed({"energy", "m.safetensors", "x.npy", "--threads", "1"}).out);
  const Matrix printed = read_matrix(path("stdout.csv"));
  EXPECT_TRUE(std::ranges::equal(printed.values(), expected));
}

TEST_F(Energy, GradientIsInDataUnits) {
  write_model();
  write("x.csv", "0.3,-0.2\n0.301,-0.2\n0.299,-0.2\n0.3,-0.199\n0.3,-0.201\n");
  succeed({"energy", "m.safetensors", "x.csv", "--gradient", "g.npy", "--out", "e.npy", "--device", "cpu"});
  const Matrix e = read_matrix(path("e.npy")), g = read_matrix(path("g.npy"));
  // Central differences over 0.001 of fp32 energies: rounding leaves about 2e-4.
  EXPECT_NEAR(g(0, 0), (e(1, 0) - e(2, 0)) / 0.002f, 1e-3);
  EXPECT_NEAR(g(0, 1), (e(3, 0) - e(4, 0)) / 0.002f, 1e-3);
}

TEST_F(Energy, LabelsGiveTheJointEnergy) {
  const Mlp model = write_model(Head::logits, 3);
  write("x.csv", "0,0,0\n1,0.5,2\n-1,0.2,1\n");
  write("labels.csv", "0\n2\n1\n");
  const Matrix x(3, 2, {0, 0, 1, 0.5f, -1, 0.2f});
  const auto expected = joint_energy(model, x, std::vector<int>{0, 2, 1}, Device::cpu());
  succeed({"energy", "m.safetensors", "x.csv", "--label-column", "2", "--out", "e.npy"});
  const Matrix written = read_matrix(path("e.npy"));
  EXPECT_TRUE(std::ranges::equal(written.values(), expected));
  succeed({"energy", "m.safetensors", "x.csv", "--columns", "0:2", "--labels", "labels.csv", "--out", "f.npy"});
  EXPECT_EQ(read("e.npy"), read("f.npy"));
  succeed({"energy", "m.safetensors", "x.csv", "--columns", "0:2", "--out", "marginal.npy"});
  EXPECT_NE(read("e.npy"), read("marginal.npy"));
}

TEST_F(Energy, NotesForAFileThatDoesNotSayAreOverriddenByOneThatDoes) {
  write_model();
  write_ring("x.npy");
  succeed({"energy", "m.safetensors", "x.npy", "--out", "e.npy"});
  succeed({"energy", "m.safetensors", "x.npy", "--out", "f.npy", "--activation", "relu", "--head", "scalar",
           "--confinement", "3"});
  EXPECT_EQ(read("e.npy"), read("f.npy"));
}

TEST_F(Energy, AStateDictUnderAnyPrefixIsRead) {
  // The tensors of a one-output network as torch.compile, DataParallel and Lightning name them; no --head.
  const Mlp model = write_model();
  const auto rename = [&](const std::string& prefix, const std::string& file) {
    std::vector<float> parameters(model.parameters().begin(), model.parameters().end());
    const auto* bytes = reinterpret_cast<const char*>(parameters.data());
    const auto size = [](std::size_t n) { return std::to_string(4 * n); };
    const std::string header = "{\"" + prefix +
                               "0.weight\":{\"dtype\":\"F32\",\"shape\":[6,2],\"data_offsets\":[0,48]},\"" + prefix +
                               "0.bias\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[48,72]},\"" + prefix +
                               "3.weight\":{\"dtype\":\"F32\",\"shape\":[1,6],\"data_offsets\":[72,96]},\"" + prefix +
                               "3.bias\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[96," + size(25) + "]}}";
    std::string text(8, '\0');
    text[0] = static_cast<char>(header.size() % 256);
    text[1] = static_cast<char>(header.size() / 256);
    write(file, text + header + std::string(bytes, 4 * parameters.size()));
  };
  write_ring("x.npy");
  rename("", "plain.safetensors");
  const std::string expected = succeed({"energy", "plain.safetensors", "x.npy", "--activation", "silu"}).out;
  EXPECT_FALSE(expected.empty());
  for (const char* prefix : {"module.", "_orig_mod.", "model.net."}) {
    rename(prefix, "other.safetensors");
    EXPECT_EQ(succeed({"energy", "other.safetensors", "x.npy", "--activation", "silu"}).out, expected) << prefix;
  }
  expect_wrong_request({"energy", "plain.safetensors", "x.npy"}, {"--activation", "must be one of silu"});
}

}  // namespace
}  // namespace ebm::test
