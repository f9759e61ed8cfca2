#include "runtime/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/status_macros.h"
#include "simdjson.h"

namespace facet {
namespace {

constexpr uint64_t kLengthBytes = 8;
// The bound of the format's reference implementation.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxDimensions = 8;
constexpr char kMetadata[] = "__metadata__";

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16,
                             DType::kI32, DType::kI64,  DType::kU8};

template <typename... Parts>
absl::Status Refuse(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// A tensor name as it goes into a message.
std::string Quoted(absl::string_view name) {
  return absl::StrCat("tensor \"", name.substr(0, 200), "\"");
}

absl::Status ReadDType(const simdjson::dom::element& value,
                       SafetensorsEntry* entry) {
  std::string_view spelling;
  if (value.get(spelling) != simdjson::SUCCESS) {
    return Refuse(Quoted(entry->name), ": dtype: expected a string");
  }
  for (const DType dtype : kDTypes) {
    if (View(spelling) == Name(dtype)) {
      entry->dtype = dtype;
      return absl::OkStatus();
    }
  }
  return Refuse(Quoted(entry->name),
                ": dtype: expected F32, BF16, F16, I32, I64 or U8, found \"",
                View(spelling).substr(0, 20), "\"");
}

absl::Status ReadShape(const simdjson::dom::element& value,
                       SafetensorsEntry* entry) {
  simdjson::dom::array dimensions;
  if (value.get(dimensions) != simdjson::SUCCESS) {
    return Refuse(Quoted(entry->name), ": shape: expected a list");
  }
  for (const simdjson::dom::element dimension : dimensions) {
    uint64_t size = 0;
    if (entry->shape.size() == kMaxDimensions ||
        dimension.get(size) != simdjson::SUCCESS ||
        size > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return Refuse(Quoted(entry->name), ": shape: expected at most ",
                    kMaxDimensions, " sizes of 0 or more");
    }
    entry->shape.push_back(static_cast<int64_t>(size));
  }
  return absl::OkStatus();
}

absl::Status ReadOffsets(const simdjson::dom::element& value,
                         SafetensorsEntry* entry) {
  simdjson::dom::array pair;
  uint64_t offsets[2] = {0, 0};
  bool good = value.get(pair) == simdjson::SUCCESS && pair.size() == 2;
  for (size_t i = 0; good && i < 2; ++i) {
    good = pair.at(i).get(offsets[i]) == simdjson::SUCCESS;
  }
  if (!good) {
    return Refuse(Quoted(entry->name),
                  ": data_offsets: expected a list of two integers");
  }
  entry->begin = offsets[0];
  entry->end = offsets[1];
  return absl::OkStatus();
}

absl::Status ReadEntry(const simdjson::dom::element& value,
                       SafetensorsEntry* entry) {
  simdjson::dom::object fields;
  if (value.get(fields) != simdjson::SUCCESS) {
    return Refuse(Quoted(entry->name), ": expected an object");
  }
  bool dtype = false, shape = false, offsets = false;
  for (const simdjson::dom::key_value_pair field : fields) {
    if (field.key == "dtype" && !dtype) {
      FACET_RETURN_IF_ERROR(ReadDType(field.value, entry));
      dtype = true;
    } else if (field.key == "shape" && !shape) {
      FACET_RETURN_IF_ERROR(ReadShape(field.value, entry));
      shape = true;
    } else if (field.key == "data_offsets" && !offsets) {
      FACET_RETURN_IF_ERROR(ReadOffsets(field.value, entry));
      offsets = true;
    } else {
      return Refuse(Quoted(entry->name), ": \"", View(field.key).substr(0, 40),
                    "\": expected dtype, shape and data_offsets, once each");
    }
  }
  if (!dtype || !shape || !offsets) {
    return Refuse(Quoted(entry->name), ": lacks ",
                  !dtype   ? "dtype"
                  : !shape ? "shape"
                           : "data_offsets");
  }
  return absl::OkStatus();
}

// Offsets inside the data and as many bytes as dtype and shape ask for.
absl::Status CheckExtent(const SafetensorsEntry& entry, uint64_t data_bytes) {
  if (entry.begin > entry.end || entry.end > data_bytes) {
    return Refuse(Quoted(entry.name), ": data_offsets [", entry.begin, ", ",
                  entry.end, "): expected within the ", data_bytes,
                  " bytes of data that the file has");
  }
  constexpr uint64_t kMaxBytes = uint64_t{1} << 62;
  const uint64_t bytes = entry.end - entry.begin;
  uint64_t expected = SizeOf(entry.dtype);
  bool fits = true;
  for (const int64_t size : entry.shape) {
    if (size == 0) {
      expected = 0;
      fits = true;
      break;
    }
    fits = fits && expected <= kMaxBytes / static_cast<uint64_t>(size);
    if (fits) expected *= static_cast<uint64_t>(size);
  }
  if (!fits || expected != bytes) {
    return Refuse(Quoted(entry.name), ": data_offsets [", entry.begin, ", ",
                  entry.end, ") hold ", bytes, " bytes, expected ",
                  fits ? absl::StrCat(expected) : "more than 2^62", " for ",
                  Name(entry.dtype), " of shape [",
                  absl::StrJoin(entry.shape, ", "), "]");
  }
  return absl::OkStatus();
}

// Sorts by place and checks that the tensors tile the data.
absl::Status CheckTiling(std::vector<SafetensorsEntry>& entries,
                         uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
              if (a.begin != b.begin) return a.begin < b.begin;
              if (a.end != b.end) return a.end < b.end;
              return a.name < b.name;
            });
  uint64_t covered = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < covered) {
      return Refuse(Quoted(entry.name), ": data_offsets [", entry.begin, ", ",
                    entry.end, ") overlap the tensor before, which ends at ",
                    covered);
    }
    if (entry.begin > covered) {
      return Refuse(Quoted(entry.name), ": data_offsets begin at ", entry.begin,
                    ", expected ", covered, ", where the tensor before ends");
    }
    covered = entry.end;
  }
  if (covered != data_bytes) {
    return Refuse("file has ", data_bytes, " bytes of data, expected ", covered,
                  ", where the last tensor ends");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SafetensorsEntry>> ReadHeader(
    absl::string_view header, uint64_t data_bytes) {
  simdjson::dom::parser parser;
  simdjson::dom::object tensors;
  const simdjson::error_code error =
      parser.parse(header.data(), header.size()).get(tensors);
  if (error != simdjson::SUCCESS) {
    return Refuse("header is not a JSON object: ",
                  simdjson::error_message(error));
  }
  std::vector<SafetensorsEntry> entries;
  absl::flat_hash_set<std::string> names;
  for (const simdjson::dom::key_value_pair field : tensors) {
    if (field.key == kMetadata) continue;
    SafetensorsEntry entry;
    entry.name = std::string(field.key);
    if (!names.insert(entry.name).second) {
      return Refuse(Quoted(entry.name), " is there twice");
    }
    FACET_RETURN_IF_ERROR(ReadEntry(field.value, &entry));
    FACET_RETURN_IF_ERROR(CheckExtent(entry, data_bytes));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

absl::StatusOr<std::vector<SafetensorsEntry>> ParseSafetensors(
    absl::string_view file) {
  if (file.size() < kLengthBytes) {
    return Refuse("truncated: the file has ", file.size(),
                  " bytes, expected at least ", kLengthBytes);
  }
  uint64_t header_bytes = 0;
  for (int i = kLengthBytes - 1; i >= 0; --i) {
    header_bytes = header_bytes << 8 | static_cast<uint8_t>(file[i]);
  }
  if (header_bytes > kMaxHeaderBytes) {
    return Refuse("header length ", header_bytes, ": expected at most ",
                  kMaxHeaderBytes, "; is this a safetensors file?");
  }
  if (header_bytes > file.size() - kLengthBytes) {
    return Refuse("truncated: header length ", header_bytes, ", but only ",
                  file.size() - kLengthBytes, " bytes follow it");
  }
  const uint64_t data_begin = kLengthBytes + header_bytes;
  const uint64_t data_bytes = file.size() - data_begin;
  FACET_ASSIGN_OR_RETURN(
      std::vector<SafetensorsEntry> entries,
      ReadHeader(file.substr(kLengthBytes, header_bytes), data_bytes));
  FACET_RETURN_IF_ERROR(CheckTiling(entries, data_bytes));
  for (SafetensorsEntry& entry : entries) {
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  return entries;
}

}  // namespace facet
