#include "host/files/npz.hpp"

#include <fmt/format.h>
#include <minizip/unzip.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <vector>

#include "host/files/text.hpp"

namespace ebm {
namespace {

constexpr std::string_view kEnding = ".npy";
// deflate's longest run takes two bits (a match of 258 bytes): no archive can hold more than this.
constexpr std::uint64_t kMostExpansion = 1032;

// What minizip reads through: it knows nothing of descriptors, and a failed read is reported with its byte.
struct Access {
  const InputFile* file;
  std::uint64_t at = 0;
  std::exception_ptr failure;
};

voidpf open_access(voidpf opaque, const void*, int) { return opaque; }
uLong read_access(voidpf, voidpf stream, void* buffer, uLong wanted) {
  auto& access = *static_cast<Access*>(stream);
  if (access.at > access.file->size()) return 0;
  const std::uint64_t n = std::min<std::uint64_t>(wanted, access.file->size() - access.at);
  try {
    access.file->read(access.at, std::span(static_cast<std::byte*>(buffer), n));
  } catch (...) {
    access.failure = std::current_exception();
    return 0;
  }
  access.at += n;
  return static_cast<uLong>(n);
}
uLong write_access(voidpf, voidpf, const void*, uLong) { return 0; }
ZPOS64_T tell_access(voidpf, voidpf stream) { return static_cast<Access*>(stream)->at; }
long seek_access(voidpf, voidpf stream, ZPOS64_T offset, int origin) {
  auto& access = *static_cast<Access*>(stream);
  std::uint64_t base = 0;
  if (origin == ZLIB_FILEFUNC_SEEK_CUR) base = access.at;
  if (origin == ZLIB_FILEFUNC_SEEK_END) base = access.file->size();
  std::uint64_t to = 0;
  if (__builtin_add_overflow(base, offset, &to) || to > access.file->size()) return -1;
  access.at = to;
  return 0;
}
int close_access(voidpf, voidpf) { return 0; }
int no_error(voidpf, voidpf stream) { return static_cast<Access*>(stream)->failure ? 1 : 0; }

class Archive {
 public:
  explicit Archive(const InputFile& file) : access_{&file, 0, nullptr} {
    zlib_filefunc64_def functions{open_access, read_access,  write_access, tell_access,
                                  seek_access, close_access, no_error,     &access_};
    zip_ = unzOpen2_64("", &functions);
    rethrow();
    if (zip_ == nullptr) file.fail("is no .npz: no zip directory at its end");
  }
  ~Archive() {
    unzCloseCurrentFile(zip_);
    unzClose(zip_);
  }
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  const InputFile& file() const { return *access_.file; }
  unzFile zip() { return zip_; }
  void rethrow() const {
    if (access_.failure) std::rethrow_exception(access_.failure);
  }
  // Calls use(name, info) for each member while it returns true; the last one stays current.
  template <class Use>
  bool find(const Use& use) {
    unz_global_info64 all{};
    unzGetGlobalInfo64(zip_, &all);
    int status = all.number_entry == 0 ? UNZ_END_OF_LIST_OF_FILE : unzGoToFirstFile(zip_);
    for (; status == UNZ_OK; status = unzGoToNextFile(zip_)) {
      char name[1025] = {};  // longer names are cut, and then match nothing
      unz_file_info64 info{};
      if (unzGetCurrentFileInfo64(zip_, &info, name, sizeof name - 1, nullptr, 0, nullptr, 0) != UNZ_OK) break;
      if (use(std::string_view(name), info)) return true;
    }
    rethrow();
    if (status != UNZ_END_OF_LIST_OF_FILE) file().fail("its zip directory is damaged");
    return false;
  }

 private:
  Access access_;
  unzFile zip_ = nullptr;
};

std::string_view array_name(std::string_view member) {
  return member.ends_with(kEnding) ? member.substr(0, member.size() - kEnding.size()) : std::string_view{};
}

class Member : public ByteStream {
 public:
  Member(const InputFile& file, const std::string& name)
      : ByteStream(file, fmt::format("array {}: ", in_quotes(name))), archive_(file) {
    unz_file_info64 info{};
    const bool found = archive_.find([&](std::string_view member, const unz_file_info64& entry) {
      info = entry;
      return array_name(member) == name;
    });
    if (!found) fail("is not in the archive");
    if ((info.flag & 1) != 0) fail("is encrypted");
    if (info.compression_method != 0 && info.compression_method != Z_DEFLATED) {
      fail(fmt::format("compression method {} is not read; stored and deflated members are", info.compression_method));
    }
    size_ = info.uncompressed_size;
    const bool stored = info.compression_method == 0;
    const bool possible = info.compressed_size <= file.size() &&
                          (stored ? size_ == info.compressed_size : size_ / kMostExpansion <= info.compressed_size);
    if (!possible) {
      fail(fmt::format("claims {} bytes from {} in a file of {}", size_, info.compressed_size, file.size()));
    }
    if (unzOpenCurrentFile(archive_.zip()) != UNZ_OK) {
      archive_.rethrow();
      fail("its local header is damaged or does not match the archive's directory");
    }
    begin_ = unzGetCurrentFileZStreamPos64(archive_.zip());
  }

  std::uint64_t size() const override { return size_; }
  void read(std::span<std::byte> out) override {
    while (!out.empty()) {
      const auto most = static_cast<unsigned>(std::min<std::size_t>(out.size(), 1u << 16));
      const int n = unzReadCurrentFile(archive_.zip(), out.data(), most);
      archive_.rethrow();
      if (n < 0) fail(fmt::format("byte {}: the compressed data is damaged (it begins at byte {})", at_, begin_));
      if (n == 0) fail(fmt::format("ends at byte {}; {} bytes were expected", at_, size_));
      at_ += static_cast<std::uint64_t>(n);
      out = out.subspan(static_cast<std::size_t>(n));
    }
  }
  // Reads all there is; size and checksum are as the directory says.
  void verify() {
    std::vector<std::byte> buffer(65536);
    while (at_ < size_) read(std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), size_ - at_)));
    if (unzReadCurrentFile(archive_.zip(), buffer.data(), 1) != 0) fail(fmt::format("has more than {} bytes", size_));
    if (unzCloseCurrentFile(archive_.zip()) != UNZ_OK) fail("its checksum does not match: the file is damaged");
  }

 private:
  Archive archive_;
  std::uint64_t size_ = 0, at_ = 0, begin_ = 0;
};

}  // namespace

std::string find_npz_array(const InputFile& file, std::string_view wanted) {
  constexpr std::size_t kShown = 12;
  std::string only, names;
  std::size_t arrays = 0, matches = 0;
  {
    Archive archive(file);
    archive.find([&](std::string_view member, const unz_file_info64&) {
      const std::string_view name = array_name(member);
      if (name.empty()) return false;
      if (arrays++ == 0) only = name;
      if (arrays <= kShown) names += (arrays > 1 ? ", " : "") + in_quotes(name);
      if (arrays == kShown + 1) names += ", ...";
      matches += name == wanted ? 1 : 0;
      return false;
    });
  }
  if (arrays == 0) file.fail("holds no arrays (members NAME.npy)");
  if (!wanted.empty() && matches == 0) file.fail(fmt::format("has no array {}; it holds {}", in_quotes(wanted), names));
  if (matches > 1) file.fail(fmt::format("holds the array {} more than once", in_quotes(wanted)));
  if (wanted.empty() && arrays > 1) {
    file.fail(fmt::format("holds several arrays: {}; name one as {}:NAME", names, file.name()));
  }
  const std::string name = wanted.empty() ? only : std::string(wanted);
  Member(file, name).verify();
  return name;
}

std::unique_ptr<ByteStream> open_npz_array(const InputFile& file, const std::string& name) {
  return std::make_unique<Member>(file, name);
}

}  // namespace ebm
