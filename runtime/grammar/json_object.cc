#include "runtime/grammar/json_object.h"

#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace facet {
namespace {

// Members times schemas about them; beyond it somebody means harm.
constexpr size_t kMaxMemberSchemas = 1'000'000;

absl::Status Error(const JsonValue& where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(PointerTo(where), ": ", what));
}

bool IsFalse(const JsonValue& schema) {
  return schema.is(JsonKind::kBoolean) && !schema.boolean;
}

// The keys of members without a declared name.
absl::Status PlanKeys(const JsonConstraints& constraints, ObjectPlan* plan) {
  for (const ObjectShape& shape : constraints.objects) {
    if (shape.names != nullptr) {
      if (!plan->members.empty()) {
        return Error(*shape.names,
                     "propertyNames is not supported beside properties");
      }
      plan->key_schemas.push_back(shape.names);
    }
    if (shape.pattern == nullptr) continue;
    const bool alone =
        constraints.objects.size() == 1 && shape.names == nullptr &&
        plan->members.empty() && shape.pattern->items.size() == 1 &&
        (shape.additional == nullptr || IsFalse(*shape.additional));
    if (!alone) {
      return Error(*shape.pattern,
                   "patternProperties is supported for a single pattern, "
                   "without properties, propertyNames or "
                   "additionalProperties other than false");
    }
    plan->key_pattern = &shape.pattern->items[0];
    plan->extra_schemas = {plan->key_pattern};
    plan->open = !IsFalse(*plan->key_pattern);
  }
  return absl::OkStatus();
}

// minProperties and maxProperties, where they can be told from the names.
absl::Status CheckCounts(const JsonConstraints& constraints,
                         const ObjectPlan& plan) {
  if (plan.members.empty()) return absl::OkStatus();
  int64_t required = 0;
  for (const PlannedMember& member : plan.members) required += member.required;
  const int64_t most = static_cast<int64_t>(plan.members.size());
  const bool enough = constraints.members.min <= required;
  const bool few = !constraints.members.max.has_value() ||
                   (!plan.open && most <= *constraints.members.max);
  if (enough && few) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      PointerTo(*constraints.seen.front()), ": ",
      enough ? "maxProperties" : "minProperties",
      " is not supported beside optional or additional properties"));
}

}  // namespace

absl::StatusOr<ObjectPlan> PlanObject(const JsonConstraints& constraints) {
  ObjectPlan plan;
  absl::flat_hash_map<std::string, size_t> places;
  const auto declare = [&](const std::string& name) {
    const auto [place, is_new] = places.try_emplace(name, plan.members.size());
    if (is_new) plan.members.push_back({.name = name, .schemas = {}});
    return place->second;
  };
  bool declares = false, says_additional = false, closed = false;
  for (const ObjectShape& shape : constraints.objects) {
    declares |= shape.properties != nullptr || shape.pattern != nullptr;
    if (shape.properties) {
      for (const JsonValue& property : shape.properties->items) {
        declare(property.name);
      }
    }
    if (shape.additional) {
      says_additional = true;
      closed |= IsFalse(*shape.additional);
      plan.extra_schemas.push_back(shape.additional);
    }
  }
  plan.open = says_additional ? !closed : !declares;
  for (const JsonValue* required : constraints.required) {
    for (const JsonValue& name : required->items) {
      plan.members[declare(name.text)].required = true;
    }
  }
  if (plan.members.size() * constraints.objects.size() > kMaxMemberSchemas) {
    return absl::ResourceExhaustedError(
        absl::StrCat(PointerTo(*constraints.seen.front()), ": ",
                     plan.members.size(), " properties in ",
                     constraints.objects.size(), " schemas that hold at once"));
  }
  // Each shape says something about every member: by its name, or as one of
  // its additional ones.
  for (const ObjectShape& shape : constraints.objects) {
    absl::flat_hash_set<absl::string_view> named;
    if (shape.properties) {
      for (const JsonValue& property : shape.properties->items) {
        named.insert(property.name);
        plan.members[places[property.name]].schemas.push_back(&property);
      }
    }
    if (!shape.additional || shape.pattern) continue;
    for (PlannedMember& member : plan.members) {
      if (!named.contains(member.name)) {
        member.schemas.push_back(shape.additional);
      }
    }
  }
  std::vector<PlannedMember> possible;
  for (PlannedMember& member : plan.members) {
    bool forbidden = false;
    for (const JsonValue* schema : member.schemas) {
      forbidden |= IsFalse(*schema);
    }
    if (!forbidden) {
      possible.push_back(std::move(member));
    } else if (member.required) {
      plan.never = true;
    } else {
      plan.forbidden.push_back(std::move(member.name));
    }
  }
  plan.members = std::move(possible);
  FACET_RETURN_IF_ERROR(PlanKeys(constraints, &plan));
  FACET_RETURN_IF_ERROR(CheckCounts(constraints, plan));
  return plan;
}

}  // namespace facet
