#include "runtime/chat/tool_text.h"

#include <string>

#include "kernels/base/status_macros.h"
#include "runtime/chat/python_text.h"

namespace facet {
namespace {

constexpr char kQuote[] = "<|\"|>";

void AppendQuoted(absl::string_view text, PromptText* prompt) {
  prompt->Format(kQuote);
  prompt->Content(text);
  prompt->Format(kQuote);
}

// Puts a comma before every call but the first.
class Commas {
 public:
  explicit Commas(PromptText* prompt) : prompt_(prompt) {}
  void Next() {
    if (any_) prompt_->Format(",");
    any_ = true;
  }

 private:
  PromptText* prompt_;
  bool any_ = false;
};

void AppendValue(TemplateValue value, bool quote_keys, PromptText* prompt) {
  if (value.is_string()) {
    AppendQuoted(value.string(), prompt);
  } else if (value.is_bool()) {
    prompt->Format(value.is_true() ? "true" : "false");
  } else if (value.is_mapping()) {
    prompt->Format("{");
    Commas commas(prompt);
    for (const auto& [name, item] : value.Sorted()) {
      commas.Next();
      if (quote_keys) {
        AppendQuoted(name, prompt);
      } else {
        prompt->Content(name);
      }
      prompt->Format(":");
      AppendValue(item, quote_keys, prompt);
    }
    prompt->Format("}");
  } else if (value.is_list()) {
    prompt->Format("[");
    Commas commas(prompt);
    for (const TemplateValue::Json& item : *value.json()) {
      commas.Next();
      AppendValue(TemplateValue(&item), quote_keys, prompt);
    }
    prompt->Format("]");
  } else if (!value.is_defined()) {
    prompt->Format("[]");
  } else {
    prompt->Content(value.Text());
  }
}

void AppendMembers(TemplateValue mapping, PromptText* prompt) {
  Commas commas(prompt);
  for (const auto& [name, value] : mapping.Sorted()) {
    commas.Next();
    prompt->Content(name);
    prompt->Format(":");
    AppendValue(value, /*quote_keys=*/false, prompt);
  }
}

// Writes one tool's JSON schema.
class SchemaWriter {
 public:
  SchemaWriter(const ChatDialect& dialect, PromptText* prompt)
      : dialect_(dialect), prompt_(prompt) {}

  // name:{...},name:{...} without the members that a schema has itself.
  absl::Status Properties(TemplateValue properties, const FieldPath& path);

  // required:[...]
  absl::Status Required(TemplateValue names, const FieldPath& path);

 private:
  absl::Status Property(TemplateValue property, const FieldPath& path);
  // properties:{...} and required:[...] of a property of type OBJECT.
  absl::Status Object(TemplateValue property, const FieldPath& path,
                      Commas* commas);
  // items:{...} of a property of type ARRAY.
  absl::Status Items(TemplateValue items, const FieldPath& path);
  absl::Status ItemTypes(TemplateValue types, const FieldPath& path);
  absl::StatusOr<std::string> TypeName(TemplateValue property,
                                       const FieldPath& path) const;

  const ChatDialect& dialect_;
  PromptText* prompt_;
};

bool IsSchemaMember(absl::string_view name) {
  return name == "description" || name == "type" || name == "properties" ||
         name == "required" || name == "nullable";
}

absl::Status SchemaWriter::Properties(TemplateValue properties,
                                      const FieldPath& path) {
  if (!properties.is_mapping()) {
    return Unexpected(path, "an object", properties);
  }
  Commas commas(prompt_);
  for (const auto& [name, property] : properties.Sorted()) {
    if (IsSchemaMember(name)) continue;
    commas.Next();
    prompt_->Content(name);
    prompt_->Format(":{");
    FACET_RETURN_IF_ERROR(Property(property, FieldPath(&path, name)));
    prompt_->Format("}");
  }
  return absl::OkStatus();
}

absl::Status SchemaWriter::Property(TemplateValue property,
                                    const FieldPath& path) {
  Commas commas(prompt_);
  const TemplateValue description = property.Get("description");
  if (description.is_true()) {
    commas.Next();
    prompt_->Format("description:");
    AppendQuoted(description.Text(), prompt_);
  }
  const bool nullable = property.Get("nullable").is_true();
  if (nullable && dialect_.nullable_first) {
    commas.Next();
    prompt_->Format("nullable:true");
  }
  FACET_ASSIGN_OR_RETURN(const std::string type, TypeName(property, path));
  const TemplateValue choices = property.Get("enum");
  const TemplateValue items = property.Get("items");
  if (type == "STRING" && choices.is_true()) {
    commas.Next();
    prompt_->Format("enum:");
    AppendValue(choices, /*quote_keys=*/true, prompt_);
  } else if (type == "ARRAY" && items.is_mapping() && items.is_true()) {
    if (dialect_.nullable_first) {
      prompt_->Format(",");
    } else {
      commas.Next();
    }
    FACET_RETURN_IF_ERROR(Items(items, FieldPath(&path, "items")));
  } else if (type == "OBJECT" && dialect_.nullable_first) {
    FACET_RETURN_IF_ERROR(Object(property, path, nullptr));
  }
  if (nullable && !dialect_.nullable_first) {
    commas.Next();
    prompt_->Format("nullable:true");
  }
  if (type == "OBJECT" && !dialect_.nullable_first) {
    FACET_RETURN_IF_ERROR(Object(property, path, &commas));
  }
  commas.Next();
  prompt_->Format("type:");
  AppendQuoted(type, prompt_);
  return absl::OkStatus();
}

// Without `commas`, there is always one in front.
absl::Status SchemaWriter::Object(TemplateValue property, const FieldPath& path,
                                  Commas* commas) {
  const auto separate = [&] {
    if (commas != nullptr) {
      commas->Next();
    } else {
      prompt_->Format(",");
    }
  };
  // A schema without "properties" lists them among its own members.
  const TemplateValue properties = property.Get("properties");
  const bool own = properties.is_mapping();
  const FieldPath inner(&path, "properties");
  separate();
  prompt_->Format("properties:{");
  FACET_RETURN_IF_ERROR(
      Properties(own ? properties : property, own ? inner : path));
  prompt_->Format("}");
  const TemplateValue required = property.Get("required");
  if (!required.is_true()) return absl::OkStatus();
  separate();
  return Required(required, FieldPath(&path, "required"));
}

absl::Status SchemaWriter::Required(TemplateValue names,
                                    const FieldPath& path) {
  prompt_->Format("required:[");
  Commas commas(prompt_);
  FACET_RETURN_IF_ERROR(
      ForEach(names, path, [&](TemplateValue name, const FieldPath&) {
        commas.Next();
        AppendQuoted(name.Text(), prompt_);
        return absl::OkStatus();
      }));
  prompt_->Format("]");
  return absl::OkStatus();
}

absl::Status SchemaWriter::Items(TemplateValue items, const FieldPath& path) {
  prompt_->Format("items:{");
  Commas commas(prompt_);
  for (const auto& [name, value] : items.Sorted()) {
    if (value.is_none()) continue;
    commas.Next();
    const FieldPath inner(&path, name);
    if (name == "properties") {
      prompt_->Format("properties:{");
      if (value.is_mapping()) {
        FACET_RETURN_IF_ERROR(Properties(value, inner));
      }
      prompt_->Format("}");
    } else if (name == "required") {
      FACET_RETURN_IF_ERROR(Required(value, inner));
    } else if (name == "type") {
      FACET_RETURN_IF_ERROR(ItemTypes(value, inner));
    } else {
      prompt_->Content(name);
      prompt_->Format(":");
      AppendValue(value, /*quote_keys=*/true, prompt_);
    }
  }
  prompt_->Format("}");
  return absl::OkStatus();
}

absl::Status SchemaWriter::ItemTypes(TemplateValue types,
                                     const FieldPath& path) {
  prompt_->Format("type:");
  if (types.is_string()) {
    AppendQuoted(PythonUpper(types.string()), prompt_);
    return absl::OkStatus();
  }
  // Through the template's filters, false, 0 and {} are lists of nothing.
  prompt_->Format("[");
  Commas commas(prompt_);
  if (types.is_true()) {
    FACET_RETURN_IF_ERROR(
        ForEach(types, path, [&](TemplateValue type, const FieldPath&) {
          commas.Next();
          AppendQuoted(PythonUpper(type.Text()), prompt_);
          return absl::OkStatus();
        }));
  }
  prompt_->Format("]");
  return absl::OkStatus();
}

absl::StatusOr<std::string> SchemaWriter::TypeName(
    TemplateValue property, const FieldPath& path) const {
  TemplateValue type = property.Get("type");
  if (dialect_.first_type_only && !type.is_string()) {
    if (!type.is_defined()) {
      return Unexpected(FieldPath(&path, "type"), "a type", type);
    }
    const bool empty = !type.is_list() || type.json()->empty();
    type = empty ? TemplateValue() : TemplateValue(&(*type.json())[0]);
  }
  return PythonUpper(type.Text());
}

// 'response' in function
absl::StatusOr<bool> HasResponse(TemplateValue function,
                                 const FieldPath& path) {
  if (function.is_mapping()) return function.Get("response").is_defined();
  if (function.is_string()) {
    return function.string().find("response") != absl::string_view::npos;
  }
  if (!function.is_list()) return Unexpected(path, "an object", function);
  for (const TemplateValue::Json& item : *function.json()) {
    if (TemplateValue(&item).Is("response")) return true;
  }
  return false;
}

absl::Status AppendParameters(const ChatDialect& dialect,
                              TemplateValue parameters, const FieldPath& path,
                              PromptText* prompt) {
  SchemaWriter schema(dialect, prompt);
  prompt->Format(",parameters:{");
  const TemplateValue properties = parameters.Get("properties");
  if (properties.is_true()) {
    prompt->Format("properties:{");
    FACET_RETURN_IF_ERROR(
        schema.Properties(properties, FieldPath(&path, "properties")));
    prompt->Format("},");
  }
  const TemplateValue required = parameters.Get("required");
  if (required.is_true()) {
    FACET_RETURN_IF_ERROR(
        schema.Required(required, FieldPath(&path, "required")));
    prompt->Format(",");
  }
  // The brace closes with the type: without one it stays open.
  const TemplateValue type = parameters.Get("type");
  if (type.is_true()) {
    prompt->Format("type:");
    AppendQuoted(PythonUpper(type.Text()), prompt);
    prompt->Format("}");
  }
  return absl::OkStatus();
}

absl::Status AppendResponseDeclaration(TemplateValue response,
                                       const FieldPath& path,
                                       PromptText* prompt) {
  if (!response.is_defined()) return Unexpected(path, "an object", response);
  prompt->Format(",response:{");
  const TemplateValue description = response.Get("description");
  if (description.is_true()) {
    prompt->Format("description:");
    AppendQuoted(description.Text(), prompt);
    prompt->Format(",");
  }
  const std::string type = PythonUpper(response.Get("type").Text());
  if (type == "OBJECT") {
    prompt->Format("type:");
    AppendQuoted(type, prompt);
    prompt->Format("}");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status AppendToolDeclaration(const ChatDialect& dialect,
                                   TemplateValue tool, const FieldPath& path,
                                   PromptText* prompt) {
  const TemplateValue function = tool.Get("function");
  const FieldPath inner(&path, "function");
  if (!function.is_defined()) return Unexpected(inner, "an object", function);
  prompt->Format("<|tool>declaration:");
  prompt->Content(function.Get("name").Text());
  prompt->Format("{description:");
  AppendQuoted(function.Get("description").Text(), prompt);
  const TemplateValue parameters = function.Get("parameters");
  if (parameters.is_true()) {
    FACET_RETURN_IF_ERROR(AppendParameters(
        dialect, parameters, FieldPath(&inner, "parameters"), prompt));
  }
  FACET_ASSIGN_OR_RETURN(const bool has_response, HasResponse(function, inner));
  if (has_response) {
    FACET_RETURN_IF_ERROR(AppendResponseDeclaration(
        function.Get("response"), FieldPath(&inner, "response"), prompt));
  }
  prompt->Format("}<tool|>");
  return absl::OkStatus();
}

absl::Status AppendToolCall(TemplateValue call, const FieldPath& path,
                            PromptText* prompt) {
  const TemplateValue function = call.Get("function");
  const FieldPath inner(&path, "function");
  FACET_ASSIGN_OR_RETURN(
      const absl::string_view name,
      RequireString(function.Get("name"), FieldPath(&inner, "name")));
  prompt->Format("<|tool_call>call:");
  prompt->Content(name);
  prompt->Format("{");
  const TemplateValue arguments = function.Get("arguments");
  if (arguments.is_mapping()) {
    AppendMembers(arguments, prompt);
  } else if (arguments.is_string()) {
    prompt->Content(arguments.string());
  }
  prompt->Format("}<tool_call|>");
  return absl::OkStatus();
}

void AppendToolResponse(absl::string_view name, TemplateValue response,
                        PromptText* prompt) {
  prompt->Format("<|tool_response>response:");
  prompt->Content(name);
  prompt->Format("{");
  if (response.is_mapping()) {
    AppendMembers(response, prompt);
  } else {
    prompt->Format("value:");
    AppendValue(response, /*quote_keys=*/false, prompt);
  }
  prompt->Format("}<tool_response|>");
}

}  // namespace facet
