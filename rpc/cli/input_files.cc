#include "rpc/cli/input_files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 30;

}  // namespace

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  const auto failed = [&] {
    const std::string message = absl::StrCat(path, ": ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(message)
                           : absl::InvalidArgumentError(message);
  };
  std::unique_ptr<FILE, int (*)(FILE*)> opened(nullptr, std::fclose);
  FILE* file = stdin;
  if (path != "-") {
    opened.reset(std::fopen(path.c_str(), "rb"));
    if (opened == nullptr) return failed();
    file = opened.get();
  }
  std::string text;
  char buffer[1 << 16];
  while (const size_t count = std::fread(buffer, 1, sizeof(buffer), file)) {
    text.append(buffer, count);
    if (text.size() > kMaxBytes) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": above 1 GiB"));
    }
  }
  if (std::ferror(file) != 0) return failed();
  return text;
}

absl::StatusOr<nlohmann::json> ParseJson(const std::string& text,
                                         const std::string& name) {
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    // "[json.exception.parse_error.101] parse error at line 1, ...": the
    // bracket tells a user nothing.
    std::string what = e.what();
    const size_t bracket = what.find("] ");
    if (bracket != std::string::npos) what.erase(0, bracket + 2);
    return absl::InvalidArgumentError(absl::StrCat(name, ": not JSON: ", what));
  }
}

absl::StatusOr<std::vector<int32_t>> ParseIds(const nlohmann::json& json,
                                              const std::string& name) {
  if (!json.is_array()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": expected an array of token ids, found ", json.type_name()));
  }
  std::vector<int32_t> ids;
  ids.reserve(json.size());
  for (const nlohmann::json& id : json) {
    const bool fits =
        id.is_number_integer() &&
        (!id.is_number_unsigned() ||
         id.get<uint64_t>() <= std::numeric_limits<int32_t>::max()) &&
        id.get<int64_t>() >= std::numeric_limits<int32_t>::min() &&
        id.get<int64_t>() <= std::numeric_limits<int32_t>::max();
    if (!fits) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, "[", ids.size(), "]: ",
          id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
              .substr(0, 40),
          " is no token id"));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

absl::StatusOr<std::vector<std::vector<int32_t>>> ReadPrompts(
    const std::string& path) {
  FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput(path));
  FACET_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  if (!json.is_object() || !json.contains("prompts") ||
      !json["prompts"].is_array()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, R"(: expected {"prompts": [[ids...], ...]})"));
  }
  const nlohmann::json& list = json["prompts"];
  if (list.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": no prompts"));
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const nlohmann::json& prompt : list) {
    const std::string name =
        absl::StrCat(path, ": prompts[", prompts.size(), "]");
    const nlohmann::json* ids = &prompt;
    if (prompt.is_object()) {
      for (const auto& [key, value] : prompt.items()) {
        if (key == "ids") continue;
        const bool media =
            key == "images" || key == "audios" || key == "videos";
        if (media && value.is_array() && value.empty()) continue;
        return absl::InvalidArgumentError(
            absl::StrCat(name, ".", key,
                         media ? ": images, audio and video are not supported"
                               : ": unknown field"));
      }
      if (!prompt.contains("ids")) {
        return absl::InvalidArgumentError(absl::StrCat(name, ".ids: missing"));
      }
      ids = &prompt["ids"];
    }
    FACET_ASSIGN_OR_RETURN(std::vector<int32_t> parsed, ParseIds(*ids, name));
    if (parsed.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": empty prompt"));
    }
    prompts.push_back(std::move(parsed));
  }
  return prompts;
}

}  // namespace facet
