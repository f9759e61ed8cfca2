#include "runtime/checkpoint/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "runtime/checkpoint/mapped_file.h"
#include "runtime/checkpoint/random_checkpoint.h"
#include "runtime/checkpoint/safetensors.h"
#include "runtime/config/json_fields.h"

namespace facet {
namespace {

namespace fs = std::filesystem;

constexpr char kIndexName[] = "model.safetensors.index.json";
constexpr char kSingleName[] = "model.safetensors";
constexpr char kSuffix[] = ".safetensors";
constexpr int64_t kMaxIndexBytes = 100'000'000;
constexpr size_t kMaxShards = 10'000;

// Which file holds which tensor, as the index says; ordered, so that errors do
// not depend on a hash.
using WeightMap = std::map<std::string, std::string>;

class MappedCheckpoint : public Checkpoint {
 public:
  // Maps `path` and adds its tensors.
  absl::Status Add(const std::string& path) {
    FACET_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file,
                           MappedFile::Open(path));
    absl::StatusOr<std::vector<SafetensorsEntry>> entries =
        ParseSafetensors(file->bytes());
    if (!entries.ok()) return Annotate(entries.status(), path);
    for (SafetensorsEntry& entry : *entries) {
      TensorView view;
      view.name = entry.name;
      view.dtype = entry.dtype;
      view.shape = std::move(entry.shape);
      view.data =
          reinterpret_cast<const uint8_t*>(file->bytes().data()) + entry.begin;
      view.bytes = entry.end - entry.begin;
      view.file = path;
      total_bytes_ += static_cast<int64_t>(view.bytes);
      const auto [it, is_new] = tensors_.emplace(entry.name, std::move(view));
      if (!is_new) {
        return absl::InvalidArgumentError(
            absl::StrCat(path, ": tensor \"", entry.name, "\" is also in ",
                         it->second.file, "; expected it in one file"));
      }
      names_.push_back(std::move(entry.name));
    }
    files_.push_back(std::move(file));
    return absl::OkStatus();
  }

  const TensorView* Find(absl::string_view name) const override {
    const auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
  }
  const std::vector<std::string>& names() const override { return names_; }
  int64_t total_bytes() const override { return total_bytes_; }

 private:
  std::vector<std::unique_ptr<MappedFile>> files_;
  absl::flat_hash_map<std::string, TensorView> tensors_;
  std::vector<std::string> names_;
  int64_t total_bytes_ = 0;
};

absl::StatusOr<WeightMap> ReadIndex(const std::string& path) {
  FACET_ASSIGN_OR_RETURN(const std::string text,
                         ReadTextFile(path, kMaxIndexBytes));
  absl::StatusOr<nlohmann::json> document = ParseJsonObject(text);
  if (!document.ok()) return Annotate(document.status(), path);
  FieldReader fields(*document, "");
  const nlohmann::json* weights = fields.Object("weight_map");
  if (weights == nullptr || weights->empty()) {
    fields.Fail("weight_map", "an object of tensor names and file names");
    return Annotate(fields.status(), path);
  }
  WeightMap map;
  for (const auto& [tensor, file] : weights->items()) {
    const std::string name = file.is_string() ? file.get<std::string>() : "";
    // A plain name: an index must not lead out of its directory.
    if (name.empty() || !absl::EndsWith(name, kSuffix) ||
        name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": weight_map.", absl::string_view(tensor).substr(0, 200),
          ": expected the name of a .safetensors file beside the index"));
    }
    map.emplace(tensor, name);
  }
  return map;
}

absl::StatusOr<std::vector<std::string>> ListSafetensors(
    const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (absl::EndsWith(name, kSuffix)) names.push_back(name);
  }
  if (error) {
    return absl::NotFoundError(
        absl::StrCat(directory, ": cannot list: ", error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Checkpoint>> Checkpoint::Open(
    const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    return absl::NotFoundError(absl::StrCat(
        directory, ": expected a directory with a checkpoint, found ",
        Exists(directory) ? "a file" : "nothing"));
  }
  const std::string index = absl::StrCat(directory, "/", kIndexName);
  const bool indexed = Exists(index);
  WeightMap map;
  std::vector<std::string> shards;
  if (indexed) {
    FACET_ASSIGN_OR_RETURN(map, ReadIndex(index));
    for (const auto& [tensor, file] : map) shards.push_back(file);
    std::sort(shards.begin(), shards.end());
    shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  } else if (Exists(absl::StrCat(directory, "/", kSingleName))) {
    shards = {kSingleName};
  } else {
    FACET_ASSIGN_OR_RETURN(shards, ListSafetensors(directory));
  }
  const std::string random = absl::StrCat(directory, "/", kRandomWeightsName);
  if (shards.empty() && Exists(random)) return OpenRandomCheckpoint(random);
  if (shards.empty()) {
    return absl::NotFoundError(
        absl::StrCat(directory, ": expected *.safetensors, found none"));
  }
  if (shards.size() > kMaxShards) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, ": ", shards.size(),
                     " shards, expected at most ", kMaxShards));
  }

  auto checkpoint = std::make_unique<MappedCheckpoint>();
  for (const std::string& shard : shards) {
    const absl::Status status =
        checkpoint->Add(absl::StrCat(directory, "/", shard));
    if (absl::IsNotFound(status) && indexed) {
      return absl::NotFoundError(absl::StrCat(
          index, " lists ", shard, ", which is missing; download it again"));
    }
    FACET_RETURN_IF_ERROR(status);
  }
  for (const auto& [tensor, shard] : map) {
    const std::string path = absl::StrCat(directory, "/", shard);
    const TensorView* view = checkpoint->Find(tensor);
    if (view == nullptr || view->file != path) {
      return absl::InvalidArgumentError(absl::StrCat(
          index, ": tensor \"", tensor, "\": expected in ", shard, ", found ",
          view == nullptr ? "nowhere" : absl::StrCat("in ", view->file)));
    }
  }
  return checkpoint;
}

}  // namespace facet
