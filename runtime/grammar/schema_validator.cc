#include "runtime/grammar/schema_validator.h"

#include <algorithm>
#include <regex>

namespace facet {
namespace {

using nlohmann::json;

bool HasType(const json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  return type == "object" && value.is_object();
}

size_t Characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (c & 0xC0) != 0x80; });
}

std::string WhyInvalidObject(const json& document, const json& schema,
                             const json& value) {
  const json none = json::object();
  const json& properties =
      schema.contains("properties") ? schema["properties"] : none;
  for (const auto& name : schema.value("required", json::array())) {
    if (!value.contains(name.get<std::string>())) return "required";
  }
  if (value.size() < schema.value("minProperties", size_t{0})) {
    return "minProperties";
  }
  if (value.size() > schema.value("maxProperties", size_t{1} << 40)) {
    return "maxProperties";
  }
  for (const auto& [name, member] : value.items()) {
    bool known = properties.contains(name);
    std::string why;
    if (known) why = WhyInvalid(document, properties[name], member);
    if (schema.contains("patternProperties")) {
      for (const auto& [pattern, sub] : schema["patternProperties"].items()) {
        if (!std::regex_search(name, std::regex(pattern))) continue;
        known = true;
        why += WhyInvalid(document, sub, member);
      }
    }
    if (!known && schema.contains("additionalProperties")) {
      why += WhyInvalid(document, schema["additionalProperties"], member);
    }
    if (schema.contains("propertyNames")) {
      why += WhyInvalid(document, schema["propertyNames"], json(name));
    }
    if (!why.empty()) return name + "/" + why;
  }
  return "";
}

std::string WhyInvalidArray(const json& document, const json& schema,
                            const json& value) {
  if (value.size() < schema.value("minItems", size_t{0})) return "minItems";
  if (value.size() > schema.value("maxItems", size_t{1} << 40)) {
    return "maxItems";
  }
  const json prefix = schema.value("prefixItems", json::array());
  for (size_t i = 0; i < value.size(); ++i) {
    std::string why;
    if (i < prefix.size()) {
      why = WhyInvalid(document, prefix[i], value[i]);
    } else if (schema.contains("items")) {
      why = WhyInvalid(document, schema["items"], value[i]);
    }
    if (!why.empty()) return std::to_string(i) + "/" + why;
  }
  return "";
}

}  // namespace

std::string WhyInvalid(const json& document, const json& schema,
                       const json& value) {
  if (schema.is_boolean()) return schema.get<bool>() ? "" : "false";
  if (schema.contains("$ref")) {
    const json::json_pointer pointer(
        schema["$ref"].get<std::string>().substr(1));
    // A schema that is its own alternative adds nothing.
    if (&document[pointer] != &document || !document.contains("anyOf")) {
      const std::string why = WhyInvalid(document, document[pointer], value);
      if (!why.empty()) return why;
    } else {
      return "$ref";
    }
  }
  if (schema.contains("type") &&
      !(schema.value("nullable", false) && value.is_null())) {
    const json& type = schema["type"];
    const json types = type.is_array() ? type : json::array({type});
    if (std::none_of(types.begin(), types.end(), [&](const json& t) {
          return HasType(value, t.get<std::string>());
        })) {
      return "type";
    }
  }
  if (schema.contains("enum")) {
    const json& values = schema["enum"];
    if (std::find(values.begin(), values.end(), value) == values.end()) {
      return "enum";
    }
  }
  if (schema.contains("const") && schema["const"] != value) return "const";
  for (const json& part : schema.value("allOf", json::array())) {
    const std::string why = WhyInvalid(document, part, value);
    if (!why.empty()) return "allOf: " + why;
  }
  for (const char* keyword : {"anyOf", "oneOf"}) {
    if (!schema.contains(keyword)) continue;
    const json& parts = schema[keyword];
    const auto valid =
        std::count_if(parts.begin(), parts.end(), [&](const json& part) {
          return WhyInvalid(document, part, value).empty();
        });
    if (valid == 0 || (valid > 1 && keyword[0] == 'o')) return keyword;
  }
  if (value.is_number()) {
    const double number = value.get<double>();
    if (schema.contains("minimum") && number < schema["minimum"]) {
      return "minimum";
    }
    if (schema.contains("maximum") && number > schema["maximum"]) {
      return "maximum";
    }
    if (schema.contains("exclusiveMinimum") &&
        number <= schema["exclusiveMinimum"]) {
      return "exclusiveMinimum";
    }
    if (schema.contains("exclusiveMaximum") &&
        number >= schema["exclusiveMaximum"]) {
      return "exclusiveMaximum";
    }
    if (schema.contains("multipleOf") && !value.is_number_integer()) {
      return "multipleOf";
    }
  }
  if (value.is_string()) {
    const std::string text = value.get<std::string>();
    const size_t length = Characters(text);
    if (length < schema.value("minLength", size_t{0})) return "minLength";
    if (length > schema.value("maxLength", size_t{1} << 40)) {
      return "maxLength";
    }
    if (schema.contains("pattern") &&
        !std::regex_search(text,
                           std::regex(schema["pattern"].get<std::string>()))) {
      return "pattern";
    }
  }
  if (value.is_array()) return WhyInvalidArray(document, schema, value);
  if (value.is_object()) return WhyInvalidObject(document, schema, value);
  return "";
}

}  // namespace facet
