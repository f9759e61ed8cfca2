// Which members an object may have, once all schemas about it are put together.
#ifndef FACET_RUNTIME_GRAMMAR_JSON_OBJECT_H_
#define FACET_RUNTIME_GRAMMAR_JSON_OBJECT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/grammar/json_constraints.h"

namespace facet {

struct PlannedMember {
  std::string name;
  SchemaList schemas;
  bool required = false;
};

struct ObjectPlan {
  bool never = false;                  // no object satisfies the schemas
  std::vector<PlannedMember> members;  // in declared order
  std::vector<std::string> forbidden;  // names that no member may have
  // Whether members with other names may follow, and what holds for them.
  bool open = false;
  SchemaList extra_schemas;
  const JsonValue* key_pattern = nullptr;  // its name is the pattern
  SchemaList key_schemas;                  // of propertyNames
};

// Errors: INVALID_ARGUMENT for combinations of keywords that are not supported.
absl::StatusOr<ObjectPlan> PlanObject(const JsonConstraints& constraints);

}  // namespace facet

#endif  // FACET_RUNTIME_GRAMMAR_JSON_OBJECT_H_
