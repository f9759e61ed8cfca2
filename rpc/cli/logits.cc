// `facet logits`: the logits behind every given token, into a safetensors file.
#include <condition_variable>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "rpc/cli/embedded_model.h"
#include "rpc/cli/input_files.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/verb.h"
#include "runtime/checkpoint/safetensors_writer.h"

namespace facet {
namespace {

struct LogitsFlags {
  ModelFlags model;
  std::string tokens;
  std::string out;
  bool alone = false;
};

// Blocks of logits go to the file as they come, so memory holds one step's.
class LogitsFile {
 public:
  LogitsFile(SafetensorsWriter* writer, int64_t vocab_size)
      : writer_(writer), vocab_size_(vocab_size) {}

  absl::Status Write(size_t index, const LogitsBlock& block) {
    const int64_t columns = block.vocab_end - block.vocab_begin;
    const auto* const bytes =
        reinterpret_cast<const uint8_t*>(block.values.data());
    const int64_t element = sizeof(float);
    const bool whole_rows = columns == vocab_size_;
    const int64_t runs = whole_rows ? 1 : block.rows;
    const int64_t run_bytes = columns * element * (whole_rows ? block.rows : 1);
    for (int64_t run = 0; run < runs; ++run) {
      const int64_t offset =
          ((block.first_position + run) * vocab_size_ + block.vocab_begin) *
          element;
      FACET_RETURN_IF_ERROR(writer_->WriteAt(
          index, offset,
          absl::MakeConstSpan(bytes + run * run_bytes, run_bytes)));
    }
    return absl::OkStatus();
  }

 private:
  SafetensorsWriter* const writer_;
  const int64_t vocab_size_;
};

// How many requests are under way, and what went wrong first.
struct Progress {
  std::mutex mutex;
  std::condition_variable changed;
  size_t running = 0;
  absl::Status status;

  void WaitForAll() {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return running == 0; });
  }
  void Note(const absl::Status& error, bool ended) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (!error.ok() && status.ok()) status = error;
    if (ended) --running;
    changed.notify_all();
  }
};

absl::Status Logits(const LogitsFlags& flags) {
  FACET_ASSIGN_OR_RETURN(auto prompts, ReadPrompts(flags.tokens));
  EmbeddedModelOptions options;
  FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(flags.model));
  options.text = false;
  options.max_queue = static_cast<int>(prompts.size()) + 1;
  FACET_ASSIGN_OR_RETURN(const ModelConfig config,
                         ReadModelConfig(flags.model.model));
  std::vector<TensorSpec> specs;
  for (size_t i = 0; i < prompts.size(); ++i) {
    specs.push_back(
        {absl::StrCat("logits.", i),
         DType::kF32,
         {static_cast<int64_t>(prompts[i].size()), config.vocab_size}});
  }
  FACET_ASSIGN_OR_RETURN(const auto model, EmbeddedModel::Start(options));
  FACET_ASSIGN_OR_RETURN(const auto writer,
                         SafetensorsWriter::Create(flags.out, specs));
  LogitsFile file(writer.get(), config.vocab_size);

  Progress progress;
  absl::Status refused;
  for (size_t i = 0; i < prompts.size() && refused.ok(); ++i) {
    GenerateRequest request;
    request.prompt = std::move(prompts[i]);
    request.max_tokens = 0;
    request.prompt_logits = true;
    {
      const std::lock_guard<std::mutex> lock(progress.mutex);
      if (!progress.status.ok()) break;
      ++progress.running;
    }
    const auto id = model->engine().Submit(
        std::move(request), [&progress, &file, i](GenerateEvent event) {
          absl::Status status = event.status;
          for (const LogitsBlock& block : event.logits) {
            if (status.ok()) status = file.Write(i, block);
          }
          progress.Note(status, event.finish != FinishReason::kNone);
        });
    if (!id.ok()) {
      refused = Annotate(id.status(),
                         absl::StrCat(flags.tokens, ": prompts[", i, "]"));
      progress.Note(refused, /*ended=*/true);
    }
    if (flags.alone) progress.WaitForAll();
  }
  if (!refused.ok()) return refused;  // the engine ends what still runs
  progress.WaitForAll();
  FACET_RETURN_IF_ERROR(progress.status);
  return writer->Finish();
}

}  // namespace

int RunLogits(int argc, char** argv) {
  LogitsFlags flags;
  const auto app = MakeApp(
      "logits",
      "One forward pass over given token ids. Writes logits.0, logits.1, ... "
      "as f32\n[tokens, vocabulary], row t being the prediction behind token "
      "t.",
      "  facet logits --model DIR --tokens=in.json --out=out.safetensors\n"
      "  facet logits --model DIR --tokens=in.json --out=out.safetensors "
      "--tp=2 --pp=2\n\n"
      "in.json: {\"prompts\": [[2, 105, 9731], [2, 106]]}\n");
  app->add_option("--tokens", flags.tokens, "JSON file with the prompts")
      ->required();
  app->add_option("--out", flags.out, "The safetensors file to write")
      ->required();
  app->add_flag("--alone", flags.alone,
                "One prompt after the other; default: all side by side");
  AddModelFlags(app.get(), &flags.model, /*required=*/true);
  return RunVerb(app.get(), argc, argv, [&] { return Logits(flags); });
}

}  // namespace facet
