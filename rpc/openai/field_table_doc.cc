#include "rpc/openai/field_table_doc.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace facet {

std::string FieldTableMarkdown(Endpoint endpoint) {
  std::string table = "| field | what happens with it |\n|---|---|\n";
  for (const ApiField& field : FieldsOf(endpoint)) {
    const std::vector<std::string> accepted =
        absl::StrSplit(field.accepted, ' ', absl::SkipEmpty());
    const std::string values =
        absl::StrCat("`", absl::StrJoin(accepted, "` or `"), "`");
    std::string use;
    if (field.use == FieldUse::kHonoured) {
      use = "honoured";
    } else if (absl::string_view(field.accepted) == "*") {
      use = "accepted, no effect";
    } else if (accepted.empty()) {
      use = "refused";
    } else if (field.use == FieldUse::kNoEffect) {
      use = absl::StrCat(values, " accepted, no effect; otherwise refused");
    } else {
      use = absl::StrCat("refused unless ", values);
    }
    absl::StrAppend(&table, "| `", field.name, "` | ", use, ": ", field.note,
                    " |\n");
  }
  return table;
}

}  // namespace facet
