"""check.py must find what is wrong."""

import unittest

import check

HEADER = """namespace ebm {
class Device;
enum class Kind { a, b };
class EBMCUDA_API Thing : public Base {
 public:
  int size() const;
  struct EBMCUDA_HIDDEN State;
};
// A comment that calls something(else).
EBMCUDA_API std::vector<float> values(const Thing& thing,
                                      int n);
EBMCUDA_API Thing operator+(const Thing& a, const Thing& b);
inline int twice(int x) { return 2 * x; }
using F = std::function<int(int)>;
}  // namespace ebm
"""
GOOD = [("T", "_ZN3ebm6valuesEv", "ebm::values(ebm::Thing const&, int)"), ("T", "_ZN3ebm5Thing4sizeEv", "ebm::Thing::size() const"),
        ("V", "_ZTIN3ebm5ThingE", "typeinfo for ebm::Thing"), ("W", "_ZNSt6vectorIfE", "std::vector<float>::f()")]


class Check(unittest.TestCase):
    def problems_of(self, header):
        return check.check_headers({"h": header})[0]

    def problems_in(self, symbols):
        return check.check_symbols(symbols, {"values"}, {"Thing"}, {"State"})

    def test_reads_headers(self):
        problems, functions, classes, hidden = check.check_headers({"h": HEADER})
        self.assertEqual((problems, classes, hidden), ([], {"Thing"}, {"State"}))
        self.assertIn("values", functions)
        self.assertEqual(len(functions), 2)

    def test_finds_unmarked(self):
        self.assertEqual(len(self.problems_of(HEADER.replace("EBMCUDA_API std", "std"))), 1)
        self.assertEqual(len(self.problems_of(HEADER.replace("class EBMCUDA_API", "class"))), 1)

    def test_finds_exports(self):
        self.assertEqual(self.problems_in(GOOD), [])
        self.assertEqual(len(self.problems_in(GOOD[1:])), 1)  # a public function is missing
        for wrong in [("T", "_ZN3ebm3cpu3runEv", "ebm::cpu::run()"), ("T", "_ZN3ebm5innerEv", "ebm::inner(int)"),
                      ("T", "_ZN3ebm5Thing5State1fEv", "ebm::Thing::State::f()"), ("W", "_ZN3fmt2v9Ev", "fmt::v9::f()"), ("W", "_ZN3ebm1fIiEvv", "void ebm::f<int>()"),
                      ("V", "_ZTIN3ebm6EngineE", "typeinfo for ebm::Engine"), ("T", "fatbinData", "fatbinData"),
                      ("W", "_ZN8nlohmannEv", "nlohmann::f()"), ("T", "_ZNSt6vectorIfE", "std::vector<float>::g()")]:
            self.assertEqual(len(self.problems_in(GOOD + [wrong])), 1, wrong)


if __name__ == "__main__":
    unittest.main()
