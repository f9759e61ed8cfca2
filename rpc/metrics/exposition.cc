#include "rpc/metrics/exposition.h"

#include <gtest/gtest.h>

#include <regex>
#include <sstream>

namespace facet {
namespace {

// The name of the metric that the series `name` is a part of.
std::string MetricOf(const Exposition& exposition, const std::string& name) {
  if (exposition.types.count(name) > 0) return name;
  for (const std::string suffix : {"_bucket", "_sum", "_count"}) {
    if (name.size() <= suffix.size()) continue;
    const std::string metric = name.substr(0, name.size() - suffix.size());
    if (metric + suffix != name) continue;
    const auto found = exposition.types.find(metric);
    if (found != exposition.types.end() && found->second == "histogram") {
      return metric;
    }
  }
  return "";
}

}  // namespace

Exposition ReadExposition(const std::string& text) {
  static const std::regex kType("# TYPE (\\S+) (counter|gauge|histogram)");
  static const std::regex kSeries("([a-zA-Z_:][\\w:]*)\\{(.*)\\} (\\S+)");
  static const std::regex kLabel("(\\w+)=\"((?:[^\"\\\\]|\\\\.)*)\"(,|$)");
  Exposition result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.rfind("# HELP ", 0) == 0) continue;
    if (std::regex_match(line, match, kType)) {
      EXPECT_TRUE(result.types.emplace(match[1], match[2]).second) << line;
      continue;
    }
    if (!std::regex_match(line, match, kSeries)) {
      ADD_FAILURE() << "not Prometheus text: " << line;
      continue;
    }
    const std::string name = match[1], body = match[2], value = match[3];
    const std::string metric = MetricOf(result, name);
    EXPECT_NE(metric, "") << "no TYPE for " << line;
    std::map<std::string, std::string> labels;
    for (std::sregex_iterator it(body.begin(), body.end(), kLabel), end;
         it != end; ++it) {
      labels[(*it)[1]] = (*it)[2];
      if ((*it)[1] != "le") result.labels[metric].insert((*it)[1]);
    }
    std::string series = name + "{";
    for (const auto& [key, word] : labels) {
      if (series.back() != '{') series += ",";
      series += key + "=\"" + word + "\"";
    }
    EXPECT_TRUE(result.values.emplace(series + "}", std::stod(value)).second)
        << "twice: " << line;
  }
  return result;
}

}  // namespace facet
