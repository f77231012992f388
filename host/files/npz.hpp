// NumPy's .npz: a zip archive of .npy members, stored or deflated. The archive is minizip's business.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/files/byte_stream.hpp"
#include "host/files/input_file.hpp"

namespace ebm {

// Opens the array `name` ("x" for the member x.npy); with an empty name the only one there is. All of the member is
// decompressed once before anything is believed of it, so that its size and checksum are true; working memory is
// 64 KiB and zlib's window. Throws FormatError that names the arrays when `name` is not among them, or is empty and
// there are several.
std::string find_npz_array(const InputFile& file, std::string_view name);
// The bytes of that member. `file` must outlive the stream.
std::unique_ptr<ByteStream> open_npz_array(const InputFile& file, const std::string& name);

}  // namespace ebm
