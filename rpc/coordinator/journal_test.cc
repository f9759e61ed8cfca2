#include "rpc/coordinator/journal.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/coordinator/journal_file.h"

namespace facet {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class JournalTest : public testing::Test {
 protected:
  JournalTest() {
    folder_ = testing::TempDir() + "/" +
              testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    options_.path = folder_ + "/journal";
    options_.retry_interval = absl::Milliseconds(5);
    options_.report = [this](const std::string& line) {
      lines_ += line + "\n";
    };
  }

  std::unique_ptr<Journal> Open(std::vector<JournalEntry>* entries) {
    entries->clear();
    auto journal = Journal::Open(options_, entries);
    EXPECT_TRUE(journal.ok()) << journal.status();
    return journal.ok() ? *std::move(journal) : nullptr;
  }
  std::unique_ptr<Journal> Open() {
    std::vector<JournalEntry> entries;
    return Open(&entries);
  }

  // What the next process finds.
  std::vector<JournalEntry> Entries() {
    std::vector<JournalEntry> entries;
    Open(&entries);
    return entries;
  }

  std::string Bytes() const {
    std::ifstream file(options_.path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Replace(const std::string& bytes) const {
    std::ofstream file(options_.path, std::ios::binary | std::ios::trunc);
    file << bytes;
  }

  // Three requests, one of which is forgotten, and their events.
  std::string Sample() {
    const auto journal = Open();
    const uint64_t a = journal->Begin("begin a");
    const uint64_t b = journal->Begin("begin b");
    const uint64_t c = journal->Begin("begin c");
    for (int i = 0; i < 3; ++i) {
      journal->Add(a, absl::StrCat("a", i));
      journal->Add(b, absl::StrCat("b", i));
      journal->Add(c, absl::StrCat("c", i));
    }
    journal->Forget(b);
    journal->Flush();
    return Bytes();
  }

  // Every entry is a beginning of one of Sample().
  void ExpectPartOfSample(const std::vector<JournalEntry>& entries) {
    for (const JournalEntry& entry : entries) {
      ASSERT_EQ(entry.begin.substr(0, 6), "begin ") << entry.begin;
      for (const std::string& event : entry.events) {
        EXPECT_EQ(event[0], entry.begin.back());
      }
    }
  }

  std::string folder_;
  std::string lines_;
  JournalOptions options_;
};

TEST_F(JournalTest, WhatWasBegunAndNotForgottenIsFoundAgain) {
  Sample();
  for (int time = 0; time < 3; ++time) {
    std::vector<JournalEntry> entries;
    const auto journal = Open(&entries);
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[0].begin, "begin a");
    EXPECT_EQ(entries[1].begin, "begin c");
    EXPECT_THAT(entries[1].events, ElementsAre("c0", "c1", "c2"));
    // New requests do not get the numbers of old ones.
    EXPECT_GT(journal->Begin("later"), entries[1].id);
    journal->Forget(entries[1].id + 1);
  }
  EXPECT_EQ(lines_, "");
}

TEST_F(JournalTest, WhatIsAddedByTheNextProcessBelongsToTheSameRequest) {
  Sample();
  {
    std::vector<JournalEntry> entries;
    const auto journal = Open(&entries);
    ASSERT_EQ(entries.size(), 2u);
    journal->Add(entries[0].id, "a3");
    journal->Forget(entries[1].id);
  }
  const std::vector<JournalEntry> entries = Entries();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_THAT(entries[0].events, ElementsAre("a0", "a1", "a2", "a3"));
}

TEST_F(JournalTest, AFileCutAnywhereTellsWhatIsWhole) {
  const std::string whole = Sample();
  size_t most = 0;
  for (size_t size = 0; size < whole.size(); size += 3) {
    Replace(whole.substr(0, size));
    const std::vector<JournalEntry> entries = Entries();
    ExpectPartOfSample(entries);
    for (const JournalEntry& entry : entries) {
      EXPECT_TRUE(std::is_sorted(entry.events.begin(), entry.events.end()));
    }
    most = std::max(most, entries.size());
  }
  EXPECT_EQ(most, 3u);
  EXPECT_THAT(lines_, HasSubstr("no whole records"));
}

TEST_F(JournalTest, ADamagedByteCostsItsRecordAlone) {
  const std::string whole = Sample();
  for (size_t at = kJournalHeader.size(); at < whole.size(); at += 3) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    Replace(damaged);
    const std::vector<JournalEntry> entries = Entries();
    ExpectPartOfSample(entries);
    EXPECT_GE(entries.size(), 1u) << at;
  }
}

TEST_F(JournalTest, NoBytesKeepItFromStarting) {
  const std::string whole = Sample();
  std::mt19937 random(11);
  for (int i = 0; i < 300; ++i) {
    std::string bytes(random() % 2000, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (i % 3 != 0) {  // parts of a journal among them
      for (int splice = 0; splice < 4; ++splice) {
        const size_t from = random() % whole.size();
        bytes.insert(random() % (bytes.size() + 1),
                     whole.substr(from, random() % 300));
      }
    }
    if (i % 2 == 0) bytes.insert(0, kJournalHeader.data());
    Replace(bytes);
    ExpectPartOfSample(Entries());
  }
}

TEST_F(JournalTest, AFileThatIsNoJournalIsPutAside) {
  Replace("my only copy of something else");
  EXPECT_TRUE(Entries().empty());
  std::ifstream aside(options_.path + ".damaged");
  std::string found;
  std::getline(aside, found);
  EXPECT_EQ(found, "my only copy of something else");
  EXPECT_THAT(lines_, HasSubstr("is no journal"));
}

TEST_F(JournalTest, TheFileKeepsToItsBound) {
  options_.max_bytes = 20000;
  {
    const auto journal = Open();
    const uint64_t kept = journal->Begin("kept");
    for (int i = 0; i < 300; ++i) {
      const uint64_t id = journal->Begin(std::string(500, 'x'));
      journal->Add(id, std::string(100, 'y'));
      if (i % 10 == 0) journal->Add(kept, absl::StrCat("event ", i));
      journal->Forget(id);
      journal->Flush();
      EXPECT_LE(Bytes().size(), 20000u);
      EXPECT_EQ(journal->state().bytes, static_cast<int64_t>(Bytes().size()));
    }
    EXPECT_TRUE(journal->state().health.ok());
    EXPECT_EQ(journal->state().dropped, 0);
  }
  const std::vector<JournalEntry> entries = Entries();
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].begin, "kept");
  EXPECT_EQ(entries[0].events.size(), 30u);
}

void AwaitHealth(const Journal& journal, bool well) {
  while (journal.state().health.ok() != well) {
    absl::SleepFor(absl::Milliseconds(2));
  }
}

TEST_F(JournalTest, MoreThanTheBoundSuspendsItUntilSomethingIsForgotten) {
  options_.max_bytes = 20000;
  const auto journal = Open();
  std::vector<uint64_t> ids;
  while (journal->state().health.ok()) {
    ids.push_back(journal->Begin(std::string(4000, 'x')));
    journal->Flush();
  }
  EXPECT_THAT(journal->state().health.ToString(), HasSubstr("--journal-size"));
  EXPECT_LE(Bytes().size(), 20000u);
  for (const uint64_t id : ids) journal->Forget(id);
  AwaitHealth(*journal, true);
}

TEST_F(JournalTest, AFullDiskSuspendsItUntilThereIsRoom) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  uint64_t early = 0;
  {
    const auto journal = Open();
    early = journal->Begin("early");
    const uint64_t gone = journal->Begin("gone");
    journal->Add(early, "seen");
    journal->Flush();
    // Files cannot grow any more.
    const rlimit small = {20, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    journal->Add(early, std::string(1000, 'z'));
    AwaitHealth(*journal, false);
    const uint64_t meanwhile = journal->Begin("meanwhile");
    journal->Add(meanwhile, "lost");
    journal->Add(early, "lost");
    journal->Forget(journal->Begin("over"));
    journal->Forget(gone);
    EXPECT_GE(journal->state().dropped, 3);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    AwaitHealth(*journal, true);
    journal->Add(early, "behind");
    journal->Add(meanwhile, "behind");
    journal->Begin("later");
  }
  const std::vector<JournalEntry> entries = Entries();
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].id, early);
  EXPECT_THAT(entries[0].events, ElementsAre("seen", "behind"));
  EXPECT_EQ(entries[1].begin, "meanwhile");
  EXPECT_THAT(entries[1].events, ElementsAre("behind"));
  EXPECT_EQ(entries[2].begin, "later");
  EXPECT_THAT(lines_, HasSubstr("suspended"));
  EXPECT_THAT(lines_, HasSubstr("goes on"));
}

TEST_F(JournalTest, AStartOnAFullDiskTellsWhatIsThere) {
  Sample();
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small = {20, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::vector<JournalEntry> entries;
  {
    const auto journal = Open(&entries);
    EXPECT_FALSE(journal->state().health.ok());
    EXPECT_EQ(entries.size(), 2u);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    AwaitHealth(*journal, true);
  }
  EXPECT_EQ(Entries().size(), 2u);
}

TEST_F(JournalTest, OneProcessAtATimeUsesIt) {
  const auto journal = Open();
  std::vector<JournalEntry> entries;
  EXPECT_EQ(Journal::Open(options_, &entries).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST_F(JournalTest, AFolderThatIsNotThereIsAnError) {
  options_.path = folder_ + "/nowhere/journal";
  std::vector<JournalEntry> entries;
  const absl::Status status = Journal::Open(options_, &entries).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.ToString(), HasSubstr(options_.path));
}

TEST(Crc32cTest, GivesThePublishedValue) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
}

}  // namespace
}  // namespace facet
