#include "rpc/openai/generation_fields.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace facet {
namespace {

constexpr size_t kMaxIdBytes = 128;

void ReadStop(RequestReader& reader, std::vector<std::string>* stop) {
  const ApiJson* found = reader.Find("stop");
  if (found == nullptr) return;
  if (found->is_string()) {
    stop->push_back(found->get<std::string>());
  } else {
    reader.Read("stop", stop);
  }
}

// {"ID": bias, ...}
void ReadLogitBias(RequestReader& reader, std::vector<TokenBias>* biases) {
  const ApiJson* found = reader.FindObject("logit_bias");
  if (found == nullptr) return;
  for (const auto& [name, value] : found->items()) {
    TokenBias bias;
    if (!absl::SimpleAtoi(name, &bias.token)) {
      return reader.Fail("logit_bias",
                         absl::StrCat("\"", name, "\" is no token id"));
    }
    if (!value.is_number()) {
      return reader.Fail(
          "logit_bias",
          absl::StrCat("of token ", name, ": expected a number, found ",
                       KindOf(value)));
    }
    bias.bias = value.get<float>();
    biases->push_back(bias);
  }
}

// Any integer: a seed is 64 bits without meaning.
void ReadSeed(RequestReader& reader, std::optional<uint64_t>* seed) {
  const ApiJson* found = reader.Find("seed");
  if (found == nullptr) return;
  if (found->is_number_unsigned()) {
    *seed = found->get<uint64_t>();
    return;
  }
  std::optional<int64_t> value;
  reader.ReadInteger("seed", &value);
  if (value.has_value()) *seed = static_cast<uint64_t>(*value);
}

void ReadStreamOptions(RequestReader& reader, GenerationFields* fields) {
  const ApiJson* found = reader.FindObject("stream_options");
  if (found == nullptr) return;
  if (!fields->stream) {
    return reader.Fail("stream_options", "only with stream = true");
  }
  RequestReader options(*found, "stream_options");
  options.RefuseOthers(
      "include_usage continuous_usage_stats include_obfuscation");
  options.Read("include_usage", &fields->include_usage);
  options.Read("continuous_usage_stats", &fields->continuous_usage);
  bool obfuscation = false;
  options.Read("include_obfuscation", &obfuscation);
  if (obfuscation) {
    options.Fail("include_obfuscation", "not supported, only false");
  }
  reader.Fail(options.status());
}

// A schema as an object, or as its text.
void ReadSchema(const ApiJson& schema, const std::string& path,
                RequestReader& errors, OutputFormat* format) {
  if (!schema.is_object() && !schema.is_string() && !schema.is_boolean()) {
    errors.Fail(absl::InvalidArgumentError(absl::StrCat(
        path, ": expected a JSON schema, found ", KindOf(schema))));
    return;
  }
  format->kind = OutputKind::kJsonSchema;
  format->text =
      schema.is_string() ? schema.get<std::string>() : PrintApiJson(schema);
}

// The five ways of structured_outputs, under `prefix` + their name. Counts how
// many are given.
int ReadStructured(RequestReader& reader, const std::string& prefix,
                   OutputFormat* format) {
  int given = 0;
  const auto name = [&](const char* what) { return prefix + what; };
  if (const ApiJson* schema = reader.Find(name("json").c_str())) {
    ++given;
    ReadSchema(*schema, reader.PathOf(name("json")), reader, format);
  }
  const std::pair<const char*, OutputKind> texts[] = {
      {"regex", OutputKind::kRegex}, {"grammar", OutputKind::kGrammar}};
  for (const auto& [what, kind] : texts) {
    if (reader.Find(name(what).c_str()) == nullptr) continue;
    ++given;
    format->kind = kind;
    reader.Read(name(what).c_str(), &format->text);
  }
  if (reader.Find(name("choice").c_str()) != nullptr) {
    ++given;
    format->kind = OutputKind::kChoice;
    reader.Read(name("choice").c_str(), &format->choices);
  }
  return given;
}

}  // namespace

void ReadGenerationFields(RequestReader& reader, GenerationFields* fields) {
  reader.Read("model", &fields->model);
  TextRequest& text = fields->text;
  SamplingOptions& sampling = text.sampling;
  reader.Read("temperature", &sampling.temperature);
  reader.Read("top_p", &sampling.top_p);
  reader.ReadInteger("top_k", &sampling.top_k);
  if (sampling.top_k == -1) sampling.top_k = 0;
  reader.Read("min_p", &sampling.min_p);
  ReadSeed(reader, &sampling.seed);
  reader.Read("presence_penalty", &sampling.presence_penalty);
  reader.Read("frequency_penalty", &sampling.frequency_penalty);
  reader.Read("repetition_penalty", &sampling.repetition_penalty);
  ReadLogitBias(reader, &sampling.logit_bias);
  ReadStop(reader, &text.stop);
  reader.Read("stop_token_ids", &text.stop_ids);
  reader.Read("ignore_eos", &text.ignore_eos);
  reader.ReadInteger("min_tokens", &text.min_tokens);
  reader.ReadInteger("priority", &text.priority);
  reader.Read("cache_salt", &text.cache_salt);
  reader.Read("timeout_seconds", &text.timeout_s);
  reader.ReadInteger("truncate_prompt_tokens", &fields->truncate_prompt);
  if (fields->truncate_prompt.has_value() && *fields->truncate_prompt < -1) {
    reader.Fail("truncate_prompt_tokens",
                absl::StrCat(*fields->truncate_prompt,
                             " is out of range, legal is -1 and above"));
  }
  if (fields->truncate_prompt == 0) {
    reader.Fail("truncate_prompt_tokens", "0 would leave nothing");
  }
  fields->truncate_right =
      reader.ReadChoice("truncation_side", "left right") == "right";
  reader.Read("stream", &fields->stream);
  reader.Read("request_id", &fields->request_id);
  if (fields->request_id.size() > kMaxIdBytes) {
    reader.Fail("request_id", "longer than 128 bytes");
  }
}

void ReadCompletionFields(RequestReader& reader, GenerationFields* fields) {
  TextRequest& text = fields->text;
  reader.ReadInteger("n", &text.n);
  reader.ReadInteger("best_of", &text.best_of);
  reader.ReadInteger("max_tokens", &text.max_tokens);
  reader.ReadInteger("prompt_logprobs", &text.prompt_logprobs);
  reader.Read("return_token_ids", &fields->return_token_ids);
  reader.Read("return_timings", &fields->return_timings);
  reader.Read("return_tokens_as_token_ids", &fields->tokens_as_ids);
  ReadStreamOptions(reader, fields);
}

void ReadFormatObject(const ApiJson& object, const std::string& path, bool flat,
                      RequestReader& errors, OutputFormat* format) {
  RequestReader reader(object, path);
  const std::string type =
      reader.ReadChoice("type", "text json_object json_schema");
  if (type.empty()) reader.Fail("type", "missing");
  if (type == "json_object") format->kind = OutputKind::kJsonObject;
  if (type == "json_schema") {
    const char* kNames = "name description schema strict";
    const ApiJson* holder = flat ? &object : reader.FindObject("json_schema");
    if (holder == nullptr) {
      reader.Fail("json_schema", "missing");
    } else {
      RequestReader inner(*holder, flat ? path : path + ".json_schema");
      inner.RefuseOthers(flat ? std::string(kNames) + " type" : kNames);
      std::string name;
      bool strict = true;  // always kept to
      inner.Read("name", &name);
      inner.Read("description", &name);
      inner.Read("strict", &strict);
      const ApiJson* schema = inner.Find("schema");
      if (schema == nullptr) {
        inner.Fail("schema", "missing");
      } else {
        ReadSchema(*schema, inner.PathOf("schema"), inner, format);
      }
      reader.Fail(inner.status());
    }
  }
  if (!flat || type != "json_schema") {
    reader.RefuseOthers(flat ? "type" : "type json_schema");
  }
  errors.Fail(reader.status());
}

void ReadOutputFormat(RequestReader& reader, OutputFormat* format) {
  int given = 0;
  if (const ApiJson* object = reader.FindObject("response_format")) {
    ReadFormatObject(*object, "response_format", /*flat=*/false, reader,
                     format);
    if (format->kind != OutputKind::kFree) ++given;
  }
  if (const ApiJson* object = reader.FindObject("structured_outputs")) {
    RequestReader inner(*object, "structured_outputs");
    inner.RefuseOthers("json regex choice grammar json_object");
    int ways = ReadStructured(inner, "", format);
    bool json_object = false;
    inner.Read("json_object", &json_object);
    if (json_object) {
      ++ways;
      format->kind = OutputKind::kJsonObject;
    }
    if (ways != 1) {
      inner.Fail(absl::InvalidArgumentError(
          absl::StrCat("structured_outputs: expected one of json, regex, "
                       "choice, grammar and json_object, found ",
                       ways)));
    }
    reader.Fail(inner.status());
    given += ways;
  }
  given += ReadStructured(reader, "guided_", format);
  if (given > 1) {
    reader.Fail("response_format",
                "an answer has one form; give one of response_format, "
                "structured_outputs and guided_*");
  }
}

}  // namespace facet
