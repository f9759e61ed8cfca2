// JSON Schema to grammar: one rule for each set of schemas that hold together.
#include "runtime/grammar/json_schema.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/json_constraints.h"
#include "runtime/grammar/json_object.h"
#include "runtime/grammar/json_string.h"
#include "runtime/grammar/json_text.h"
#include "runtime/grammar/json_value.h"
#include "runtime/grammar/pattern_syntax.h"

namespace facet {
namespace {

bool IsFalse(const JsonValue* schema) {
  return schema->is(JsonKind::kBoolean) && !schema->boolean;
}

bool AnyFalse(const SchemaList& schemas) {
  return std::any_of(schemas.begin(), schemas.end(), IsFalse);
}

// Models see calls with their keys in this order, and write them in it.
void SortLikeCalls(std::vector<PlannedMember>* members) {
  std::stable_sort(members->begin(), members->end(),
                   [](const PlannedMember& x, const PlannedMember& y) {
                     return absl::AsciiStrToLower(x.name) <
                            absl::AsciiStrToLower(y.name);
                   });
}

class SchemaCompiler {
 public:
  SchemaCompiler(const JsonValue* document, ValueSyntax syntax,
                 GrammarBuilder* builder)
      : builder_(*builder),
        json_(builder, syntax),
        strings_(&json_, builder),
        reader_(document, builder->limits()),
        document_(*document) {}

  // `more` holds for the whole value too, if not null.
  absl::StatusOr<int32_t> Run(const JsonValue* more) {
    const int32_t root = builder_.AddRule("#");
    SchemaList schemas = {&document_};
    if (more != nullptr) schemas.push_back(more);
    FACET_ASSIGN_OR_RETURN(const Expr value, Value(std::move(schemas)));
    builder_.Define(root, value);
    while (!waiting_.empty()) {
      if (builder_.full()) return builder_.status();
      const auto [rule, schemas] = std::move(waiting_.back());
      waiting_.pop_back();
      FACET_ASSIGN_OR_RETURN(const Expr body, Body(schemas));
      builder_.Define(rule, body);
    }
    return root;
  }

 private:
  // A value that satisfies all of `schemas`: a rule, defined later, so that
  // schemas may refer to themselves.
  absl::StatusOr<Expr> Value(SchemaList schemas) {
    SchemaList resolved;
    for (const JsonValue* schema : schemas) {
      FACET_ASSIGN_OR_RETURN(schema, reader_.Resolve(schema));
      if (!IsPlainTrue(*schema)) resolved.push_back(schema);
    }
    if (resolved.empty()) return json_.Value();
    std::sort(resolved.begin(), resolved.end());
    resolved.erase(std::unique(resolved.begin(), resolved.end()),
                   resolved.end());
    const auto [place, is_new] = rules_.try_emplace(resolved, 0);
    if (is_new) {
      place->second = builder_.AddRule(PointerTo(*resolved[0]));
      waiting_.emplace_back(place->second, std::move(resolved));
    }
    return builder_.Rule(place->second);
  }

  absl::StatusOr<Expr> Body(const SchemaList& schemas) {
    std::vector<Expr> ways;
    if (schemas.size() == 1) {
      FACET_ASSIGN_OR_RETURN(const std::optional<SchemaList> branches,
                             reader_.PureChoice(*schemas[0]));
      if (branches.has_value()) {
        for (const JsonValue* branch : *branches) {
          FACET_ASSIGN_OR_RETURN(const Expr way, Value({branch}));
          ways.push_back(way);
        }
        return builder_.Either(std::move(ways));
      }
    }
    FACET_ASSIGN_OR_RETURN(const std::vector<JsonConstraints> alternatives,
                           reader_.Read(schemas));
    for (const JsonConstraints& constraints : alternatives) {
      FACET_ASSIGN_OR_RETURN(const Expr way, Alternative(constraints));
      ways.push_back(way);
    }
    return builder_.Either(std::move(ways));
  }

  absl::StatusOr<Expr> Alternative(const JsonConstraints& c) {
    if (builder_.full()) return builder_.status();
    if (c.values.has_value()) return OneOfValues(c);
    std::vector<Expr> ways;
    if (c.types & kNullType) ways.push_back(json_.Null());
    if (c.types & kBooleanType) {
      ways.push_back(builder_.Choice({"true", "false"}));
    }
    if (c.types & kFractionType) {
      ways.push_back(c.number.unbounded()
                         ? json_.Number()
                         : NumbersIn(c.number, /*integers=*/false, &builder_));
    } else if (c.types & kIntegerType) {
      ways.push_back(c.number.unbounded()
                         ? json_.Integer()
                         : NumbersIn(c.number, /*integers=*/true, &builder_));
    }
    if (c.types & kStringType) {
      FACET_ASSIGN_OR_RETURN(const Expr string, strings_.String(c));
      ways.push_back(string);
    }
    if (c.types & kArrayType) {
      FACET_ASSIGN_OR_RETURN(const Expr array, Array(c));
      ways.push_back(array);
    }
    if (c.types & kObjectType) {
      FACET_ASSIGN_OR_RETURN(const Expr object, Object(c));
      ways.push_back(object);
    }
    return builder_.Either(std::move(ways));
  }

  absl::StatusOr<Expr> OneOfValues(const JsonConstraints& c) {
    std::vector<std::string> texts;
    for (const JsonValue* value : *c.values) {
      if (!SatisfiesCounts(*value, c)) continue;
      const bool unchecked =
          (value->is(JsonKind::kString) &&
           (!c.patterns.empty() || !c.formats.empty())) ||
          (value->is(JsonKind::kArray) && !c.arrays.empty()) ||
          (value->is(JsonKind::kObject) && !c.objects.empty());
      if (unchecked) {
        return absl::InvalidArgumentError(absl::StrCat(
            PointerTo(*value),
            ": enum and const are not supported beside pattern, format, "
            "properties or items"));
      }
      texts.push_back(json_.TextOf(*value));
    }
    return builder_.Choice(std::move(texts));
  }

  absl::StatusOr<Expr> Array(const JsonConstraints& c) {
    size_t prefix = 0;
    for (const ArrayShape& shape : c.arrays) {
      if (shape.prefix) prefix = std::max(prefix, shape.prefix->items.size());
    }
    // The schemas of item `i`; i = prefix for all that follow.
    const auto schemas_of = [&](size_t i) {
      SchemaList schemas;
      for (const ArrayShape& shape : c.arrays) {
        if (shape.prefix && i < shape.prefix->items.size()) {
          schemas.push_back(&shape.prefix->items[i]);
        } else if (shape.items) {
          schemas.push_back(shape.items);
        }
      }
      return schemas;
    };
    int64_t max = c.items.max.value_or(kUnbounded);
    std::vector<Expr> items;
    Expr more = builder_.Never();
    for (size_t i = 0; i <= prefix; ++i) {
      const SchemaList schemas = schemas_of(i);
      if (AnyFalse(schemas)) {
        max = std::min(max, static_cast<int64_t>(i));
        break;
      }
      FACET_ASSIGN_OR_RETURN(const Expr item, Value(schemas));
      if (i < prefix) {
        items.push_back(item);
      } else {
        more = item;
      }
    }
    if (c.items.min > max) return builder_.Never();
    if (max == 0) return Empty("[", "]");
    if (prefix == 0) {
      return json_.Brackets(
          json_.List(more,
                     static_cast<int32_t>(std::max<int64_t>(c.items.min, 1)),
                     static_cast<int32_t>(max)),
          c.items.min == 0);
    }
    // From the end: what follows item i is a rule of its own, so that long
    // prefixes do not nest.
    const int64_t fixed = static_cast<int64_t>(items.size());
    Expr rest = builder_.Empty();
    if (max > fixed && fixed == static_cast<int64_t>(prefix)) {
      rest = builder_.Repeat(
          json_.Next(more),
          static_cast<int32_t>(std::max<int64_t>(c.items.min - fixed, 0)),
          max == kUnbounded ? kUnbounded : static_cast<int32_t>(max - fixed));
    }
    for (int64_t i = std::min(fixed, max) - 1; i > 0; --i) {
      Expr next = builder_.Concat({json_.Next(items[i]), rest});
      if (i >= c.items.min) next = builder_.Optional(next);
      rest = Rule("items", next);
    }
    return json_.Brackets(builder_.Concat({items[0], rest}), c.items.min == 0);
  }

  Expr Empty(absl::string_view open, absl::string_view close) {
    return builder_.Concat(
        {builder_.Literal(open), json_.Space(), builder_.Literal(close)});
  }

  Expr Rule(const char* name, Expr body) {
    const int32_t rule = builder_.AddRule(name);
    builder_.Define(rule, body);
    return builder_.Rule(rule);
  }

  absl::StatusOr<Expr> Object(const JsonConstraints& c) {
    FACET_ASSIGN_OR_RETURN(ObjectPlan plan, PlanObject(c));
    if (plan.never) return builder_.Never();
    if (json_.syntax() == ValueSyntax::kCall) SortLikeCalls(&plan.members);
    std::vector<Expr> members;
    for (const PlannedMember& member : plan.members) {
      FACET_ASSIGN_OR_RETURN(const Expr value, Value(member.schemas));
      members.push_back(json_.Member(json_.Key(member.name), value));
    }
    Expr extra = builder_.Never();
    if (plan.open) {
      FACET_ASSIGN_OR_RETURN(const Expr key, ExtraKey(plan));
      FACET_ASSIGN_OR_RETURN(const Expr value, Value(plan.extra_schemas));
      extra = json_.Member(key, value);
    }
    if (members.empty()) {
      const int64_t max = c.members.max.value_or(kUnbounded);
      if (!plan.open || max == 0) return Empty("{", "}");
      return json_.Braces(
          json_.List(extra,
                     static_cast<int32_t>(std::max<int64_t>(c.members.min, 1)),
                     static_cast<int32_t>(max)),
          c.members.min == 0);
    }
    return Members(plan, members, extra);
  }

  // Members in order, optional ones left out or not, with commas between those
  // that are there.
  Expr Members(const ObjectPlan& plan, const std::vector<Expr>& members,
               Expr extra) {
    const size_t count = members.size();
    const Expr extras = builder_.Repeat(json_.Next(extra), 0, kUnbounded);
    size_t first_required = 0;
    while (first_required < count && !plan.members[first_required].required) {
      ++first_required;
    }
    // Behind the first required member.
    std::vector<Expr> parts;
    for (size_t i = first_required + 1; i < count; ++i) {
      const Expr next = json_.Next(members[i]);
      parts.push_back(plan.members[i].required ? next
                                               : builder_.Optional(next));
    }
    parts.push_back(extras);
    Expr rest = builder_.Concat(std::move(parts));
    if (first_required == 0) {
      return json_.Braces(builder_.Concat({members[0], rest}), false);
    }
    // Any member up to the first required one may be the first: what follows
    // each of them is a rule, so that the grammar grows with the members only.
    rest = Rule("members", rest);
    std::vector<Expr> ways;
    if (first_required == count) {
      ways.push_back(builder_.Concat({extra, extras}));
    } else {
      ways.push_back(builder_.Concat({members[first_required], rest}));
      rest = Rule("members",
                  builder_.Concat({json_.Next(members[first_required]), rest}));
    }
    for (size_t i = first_required; i > 0; --i) {
      ways.push_back(builder_.Concat({members[i - 1], rest}));
      rest = Rule("members",
                  builder_.Concat(
                      {builder_.Optional(json_.Next(members[i - 1])), rest}));
    }
    return json_.Braces(builder_.Either(std::move(ways)),
                        first_required == count);
  }

  absl::StatusOr<Expr> ExtraKey(const ObjectPlan& plan) {
    if (plan.key_pattern != nullptr) {
      return strings_.Matching(plan.key_pattern->name, *plan.key_pattern, {});
    }
    if (!plan.key_schemas.empty()) {
      FACET_ASSIGN_OR_RETURN(const std::vector<JsonConstraints> alternatives,
                             reader_.Read(plan.key_schemas));
      std::vector<Expr> ways;
      for (JsonConstraints constraints : alternatives) {
        constraints.types &= kStringType;
        FACET_ASSIGN_OR_RETURN(const Expr way, Alternative(constraints));
        ways.push_back(way);
      }
      return builder_.Either(std::move(ways));
    }
    std::vector<std::string> names;
    for (const PlannedMember& member : plan.members) {
      names.push_back(member.name);
    }
    names.insert(names.end(), plan.forbidden.begin(), plan.forbidden.end());
    return names.empty() ? json_.AnyKey() : strings_.Except(std::move(names));
  }

  GrammarBuilder& builder_;
  JsonText json_;
  JsonStrings strings_;
  ConstraintReader reader_;
  const JsonValue& document_;
  std::map<SchemaList, int32_t> rules_;
  std::vector<std::pair<int32_t, SchemaList>> waiting_;  // to be defined
};

}  // namespace

absl::StatusOr<int32_t> AddSchema(const JsonValue& schema, ValueSyntax syntax,
                                  GrammarBuilder* builder) {
  return SchemaCompiler(&schema, syntax, builder).Run(nullptr);
}

absl::StatusOr<int32_t> AddArguments(const JsonValue& schema,
                                     GrammarBuilder* builder) {
  static const JsonValue* const object =
      ParseJsonValue(R"({"type": "object"})", {})->release();
  return SchemaCompiler(&schema, ValueSyntax::kCall, builder).Run(object);
}

absl::StatusOr<GrammarPtr> CompileJsonSchema(absl::string_view schema_json,
                                             const GrammarLimits& limits) {
  FACET_RETURN_IF_ERROR(Annotate(CheckSource(schema_json, limits), "schema"));
  absl::StatusOr<std::unique_ptr<const JsonValue>> document =
      ParseJsonValue(schema_json, limits);
  if (!document.ok()) return Annotate(document.status(), "schema");
  GrammarBuilder builder(limits);
  const absl::StatusOr<int32_t> root =
      AddSchema(**document, ValueSyntax::kJson, &builder);
  if (!root.ok()) return Annotate(root.status(), "schema");
  absl::StatusOr<GrammarPtr> grammar = builder.Build(*root);
  if (!grammar.ok()) return Annotate(grammar.status(), "schema");
  return grammar;
}

}  // namespace facet
