#include "rpc/coordinator/places.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace facet {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<int> Cpus(int count, int first = 0) {
  std::vector<int> cpus;
  for (int i = 0; i < count; ++i) cpus.push_back(first + i);
  return cpus;
}

WorkerRegistration On(const std::string& machine, std::vector<int> cpus,
                      const std::string& host = "10.0.0.1") {
  WorkerRegistration worker;
  worker.hostname = machine;
  worker.endpoint = {machine, absl::StrCat(host, ":4000")};
  worker.cpus = std::move(cpus);
  return worker;
}

std::vector<WorkerAssignment> Assign(
    const std::vector<WorkerRegistration>& workers, int threads = 0) {
  const auto places = AssignPlaces(workers, WorkerAssignment(), threads);
  EXPECT_TRUE(places.ok()) << places.status();
  return *places;
}

TEST(PlacesTest, WorkersOfOneMachineGetNeighbouringRanks) {
  const auto places =
      Assign({On("a", Cpus(4)), On("b", Cpus(4)), On("a", Cpus(4)),
              On("c", Cpus(4)), On("b", Cpus(4))});
  std::vector<int> ranks;
  for (const WorkerAssignment& place : places) ranks.push_back(place.rank);
  EXPECT_THAT(ranks, ElementsAre(0, 2, 1, 4, 3));
  for (const WorkerAssignment& place : places) {
    std::vector<std::string> machines;
    for (const CommEndpoint& endpoint : place.endpoints) {
      machines.push_back(endpoint.host_id);
    }
    EXPECT_THAT(machines, ElementsAre("a", "a", "b", "b", "c"));
  }
}

TEST(PlacesTest, AWorkerGetsTheRankWhoseWeightsItHas) {
  std::vector<WorkerRegistration> workers = {
      On("a", Cpus(4)), On("a", Cpus(4)), On("a", Cpus(4)), On("a", Cpus(4))};
  workers[0].held_rank = 3;
  workers[1].held_rank = 0;
  workers[2].held_rank = 3;  // another has come first
  workers[3].held_rank = 9;  // of a larger world
  std::vector<int> ranks;
  for (const WorkerAssignment& place : Assign(workers)) {
    ranks.push_back(place.rank);
  }
  EXPECT_THAT(ranks, ElementsAre(3, 0, 1, 2));
}

TEST(PlacesTest, WorkersDivideTheCpusTheyShareAndArePinned) {
  const auto places = Assign({On("a", Cpus(5)), On("a", Cpus(5))});
  EXPECT_EQ(places[0].threads, 2);
  EXPECT_THAT(places[0].cpus, ElementsAre(0, 1));
  EXPECT_THAT(places[1].cpus, ElementsAre(2, 3));
}

TEST(PlacesTest, WorkersWithoutCpusOfTheirOwnAreNotPinned) {
  for (const WorkerAssignment& place :
       Assign({On("a", Cpus(2)), On("a", Cpus(2)), On("a", Cpus(2))})) {
    EXPECT_EQ(place.threads, 1);
    EXPECT_THAT(place.cpus, IsEmpty());
  }
  for (const WorkerAssignment& place :
       Assign({On("a", Cpus(4)), On("a", Cpus(4))}, /*threads=*/3)) {
    EXPECT_EQ(place.threads, 3);
    EXPECT_THAT(place.cpus, IsEmpty());
  }
}

TEST(PlacesTest, AWorkerThatSharesWithNobodyUsesAllAndIsNotPinned) {
  const auto places = Assign({On("a", Cpus(4, 0)), On("a", Cpus(4, 4))});
  for (const WorkerAssignment& place : places) {
    EXPECT_EQ(place.threads, 4);
    EXPECT_THAT(place.cpus, IsEmpty());
  }
}

TEST(PlacesTest, LoopbackAmongMachinesIsRefusedByName) {
  const std::vector<WorkerRegistration> workers = {
      On("a", Cpus(1)), On("b", Cpus(1), "127.0.0.1")};
  const absl::Status status =
      AssignPlaces(workers, WorkerAssignment(), 0).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("worker on b"), HasSubstr("127.0.0.1")));
  Assign({On("a", Cpus(1), "127.0.0.1"), On("a", Cpus(1), "127.0.0.1")});
}

}  // namespace
}  // namespace facet
