#include "rpc/cli/plan_kubernetes.h"

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

ModelConfig Model(const std::string& name) {
  std::ifstream file(
      absl::StrCat("runtime/config/testdata/gemma-4-", name, ".config.json"));
  std::stringstream text;
  text << file.rdbuf();
  const absl::StatusOr<ModelConfig> model = ParseModelConfig(text.str());
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *model : ModelConfig();
}

KubernetesPlanOptions Gpus(int nodes, int gpus, int64_t gigabytes) {
  KubernetesPlanOptions options;
  options.node.nodes = nodes;
  options.node.gpus = gpus;
  options.node.gpu_memory = gigabytes << 30;
  options.form =
      nodes > 1 ? WorkloadForm::kLeaderWorkerSet : WorkloadForm::kOneNode;
  return options;
}

std::string Component(const std::string& name,
                      const KubernetesPlanOptions& options) {
  const auto text = KubernetesComponent(Model(name), options);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

absl::Status Refusal(const std::string& name,
                     const KubernetesPlanOptions& options) {
  return KubernetesComponent(Model(name), options).status();
}

TEST(PlanKubernetes, TensorRanksStayWithinANodeAndStagesGoAcross) {
  const std::string text = Component("31B", Gpus(2, 4, 80));
  EXPECT_TRUE(absl::StrContains(text, "tp = 4\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "pp = 2\n"));
  EXPECT_TRUE(absl::StrContains(text, "workers-per-pod = 4\n"));
  EXPECT_TRUE(absl::StrContains(text, "workers = 4\n"));
  EXPECT_TRUE(absl::StrContains(text, "nvidia.com/gpu: \"4\""));
  EXPECT_TRUE(absl::StrContains(text,
                                "/spec/leaderWorkerTemplate/size\n"
                                "        value: 2\n"));
}

TEST(PlanKubernetes, ExpertsDivideOverTheGpusOfOneNode) {
  const std::string text = Component("26B-A4B", Gpus(1, 4, 24));
  EXPECT_TRUE(absl::StrContains(text, "tp = 4\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "ep = 4\n"));
  EXPECT_TRUE(absl::StrContains(text, "kind: Deployment, name: facet"));
  EXPECT_TRUE(absl::StrContains(text, "device = \"cuda\"\n"));
  EXPECT_FALSE(absl::StrContains(text, "worker.toml"));
}

TEST(PlanKubernetes, AModelThatDoesNotFitIsRefusedWithFigures) {
  const absl::Status status = Refusal("31B", Gpus(1, 2, 24));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(), "24.0 GiB")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "weights of a worker"));
}

TEST(PlanKubernetes, WorkersThatDoNotFillTheNodesAreRefused) {
  KubernetesPlanOptions options = Gpus(2, 4, 80);
  options.parallelism.tp = 2;
  options.parallelism.pp = 2;
  EXPECT_EQ(Refusal("31B", options).code(), absl::StatusCode::kInvalidArgument);
}

TEST(PlanKubernetes, ANodeWithoutMemoryForTheHostsPartIsRefused) {
  KubernetesPlanOptions options = Gpus(1, 8, 80);
  options.node.node_memory = int64_t{16} << 30;
  EXPECT_EQ(Refusal("31B", options).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(PlanKubernetes, MemoryOfProcessorsIsDividedAndNeverExceeded) {
  KubernetesPlanOptions options;
  options.node.nodes = 2;
  options.node.cpus = 16;
  options.node.node_memory = int64_t{64} << 30;
  options.form = WorkloadForm::kStatefulSet;
  const std::string text = Component("E4B", options);
  EXPECT_TRUE(absl::StrContains(text, "expect-workers = 2\n")) << text;
  EXPECT_TRUE(absl::StrContains(text, "threads = 15\n"));
  EXPECT_TRUE(absl::StrContains(text, "/spec/replicas\n        value: 2\n"));
  EXPECT_TRUE(absl::StrContains(text, "memory: 61440Mi"));
}

TEST(PlanKubernetes, OneNodeFormTakesOneNode) {
  KubernetesPlanOptions options = Gpus(2, 4, 80);
  options.form = WorkloadForm::kOneNode;
  EXPECT_EQ(Refusal("31B", options).code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace facet
