// A file that appears whole or not at all: written beside the target, synced, renamed over it, directory synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "host/files/descriptor.hpp"

namespace ebm {

// Until commit() the target is untouched; after it the target is the new file, on disk. If the object goes without a
// commit the temporary file is removed.
//
// The temporary file is `.NAME.RANDOM.ebmtmp` in the target's directory and holds an flock for as long as its writer
// lives. The kernel drops the lock with the process, so a temporary file whose lock is free was left by a killed
// writer: the next write to the same target removes it. Writers that run at the same time, in one process or many,
// don't disturb one another; the last commit stays.
//
// A target that is a symbolic link is written through. Permissions: those of the file that is replaced, else the
// umask's.
class AtomicFile {
 public:
  // Throws WriteError: the directory is missing or not writable, the target exists and is no regular file.
  explicit AtomicFile(const std::filesystem::path& path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  void write(std::span<const std::byte> bytes);  // throws WriteError, for instance when the disk is full
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // For several writers of one file (AtomicFilePart): its length, bytes in any order, and where it is until commit().
  void resize(std::uint64_t bytes);
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  std::string temporary() const;
  // Throws WriteError. Only when the last step fails, the sync of the directory, does the new file stand already.
  void commit();

 private:
  void create_temporary();
  void remove_stale_temporaries() const;
  [[noreturn]] void fail(const std::string& what, int error) const;

  std::string parent_;      // the target's directory
  std::string shown_path_;  // as the caller gave it, for messages
  std::string name_;        // the target's name in its directory
  std::string temporary_;   // empty: nothing to remove
  Descriptor directory_;
  Descriptor file_;
};

// Another process's hand on a file that an AtomicFile has begun. Throws WriteError as that does, also where the file
// can't be found.
class AtomicFilePart {
 public:
  AtomicFilePart(const std::string& temporary, std::string shown_path);
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  void sync();

 private:
  std::string shown_path_;
  Descriptor file_;
};

}  // namespace ebm
