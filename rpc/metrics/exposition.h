// Prometheus text, read back for tests.
#ifndef FACET_RPC_METRICS_EXPOSITION_H_
#define FACET_RPC_METRICS_EXPOSITION_H_

#include <map>
#include <set>
#include <string>

namespace facet {

struct Exposition {
  std::map<std::string, std::string> types;  // of each metric, by its name
  std::map<std::string, std::set<std::string>> labels;  // `le` left out
  // By series as it stands in the text, labels in alphabetical order:
  // facet:kv_pages{model_name="m",pool="global",state="free"}
  std::map<std::string, double> values;
};

// Fails the running test at text that is none.
Exposition ReadExposition(const std::string& text);

}  // namespace facet

#endif  // FACET_RPC_METRICS_EXPOSITION_H_
