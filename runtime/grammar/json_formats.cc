#include "runtime/grammar/json_formats.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace facet {
namespace {

constexpr char kUriText[] =
    "(?:[a-zA-Z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}){0,2000}";

std::string Date() {
  const char* year = "[12]\\d{3}";
  // Years that 4 divides: those of a century by their last two digits, and the
  // centuries that 4 divides.
  const char* leap_year =
      "(?:[12]\\d(?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)";
  return absl::StrCat(
      "(?:", year, "-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|",
      "(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|",
      leap_year, "-02-29)");
}

std::string Time() {
  return "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,9})?"
         "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)";
}

std::string Ipv4() {
  const char* octet = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  return absl::StrCat("(?:", octet, "\\.){3}", octet);
}

// Eight groups, or `::` in place of one or more of them.
std::string Ipv6() {
  const std::string group = "[0-9a-fA-F]{1,4}";
  std::vector<std::string> forms = {absl::StrCat("(?:", group, ":){7}", group)};
  for (int before = 0; before <= 7; ++before) {
    const int after = 7 - before;
    std::string form;
    if (before > 0) {
      form = absl::StrCat(group, "(?::", group, "){", before - 1, "}");
    }
    absl::StrAppend(&form, "::");
    if (after > 0) {
      absl::StrAppend(&form, "(?:", group, "(?::", group, "){0,", after - 1,
                      "})?");
    }
    forms.push_back(form);
  }
  return absl::StrCat("(?:", absl::StrJoin(forms, "|"), ")");
}

std::string Hostname() {
  const char* label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?";
  return absl::StrCat(label, "(?:\\.", label, "){0,7}");
}

std::string Duration() {
  const char* time =
      "T(?:\\d{1,9}H(?:\\d{1,9}M(?:\\d{1,9}S)?)?|"
      "\\d{1,9}M(?:\\d{1,9}S)?|\\d{1,9}S)";
  const char* date =
      "(?:\\d{1,9}Y(?:\\d{1,9}M(?:\\d{1,9}D)?)?|"
      "\\d{1,9}M(?:\\d{1,9}D)?|\\d{1,9}D)";
  return absl::StrCat("P(?:\\d{1,9}W|", date, "(?:", time, ")?|", time, ")");
}

const std::vector<std::pair<std::string, std::string>>& Formats() {
  static const auto* const formats =
      new std::vector<std::pair<std::string, std::string>>{
          {"date", Date()},
          {"time", Time()},
          {"date-time", absl::StrCat(Date(), "T", Time())},
          {"duration", Duration()},
          {"uuid",
           "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-"
           "[0-9a-fA-F]{12}"},
          {"email",
           absl::StrCat("[a-zA-Z0-9_%+-]{1,32}(?:\\.[a-zA-Z0-9_%+-]{1,32})"
                        "{0,3}@",
                        Hostname(), "\\.[a-zA-Z]{2,20}")},
          {"hostname", Hostname()},
          {"ipv4", Ipv4()},
          {"ipv6", Ipv6()},
          {"uri", absl::StrCat("[a-zA-Z][a-zA-Z0-9+.-]{0,20}:",
                               "(?://[a-zA-Z0-9.-]{1,200}(?::\\d{1,5})?(?:/",
                               kUriText, ")?|[a-zA-Z0-9]", kUriText, ")(?:\\?",
                               kUriText, ")?(?:#", kUriText, ")?")},
      };
  return *formats;
}

}  // namespace

std::optional<std::string> PatternOfFormat(absl::string_view format) {
  for (const auto& [name, pattern] : Formats()) {
    if (name == format) return absl::StrCat("^", pattern, "$");
  }
  return std::nullopt;
}

bool IsAnnotationFormat(absl::string_view format) {
  return format == "int64" || format == "float" || format == "double" ||
         format == "password";
}

std::string KnownFormats() {
  return absl::StrJoin(Formats(), ", ",
                       [](std::string* out, const auto& format) {
                         absl::StrAppend(out, format.first);
                       });
}

}  // namespace facet
