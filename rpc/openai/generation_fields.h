// What requests for generated text have in common, whatever their endpoint.
#ifndef FACET_RPC_OPENAI_GENERATION_FIELDS_H_
#define FACET_RPC_OPENAI_GENERATION_FIELDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "rpc/convert/text_messages.h"
#include "rpc/openai/request_reader.h"

namespace facet {

struct GenerationFields {
  std::string model;  // empty: whichever is served
  // For the front door; an endpoint adds the prompt.
  TextRequest text;
  std::optional<int64_t> truncate_prompt;  // to so many tokens; -1: what fits
  bool truncate_right = false;             // the end of the prompt goes
  std::string request_id;
  bool stream = false;
  bool include_usage = false;     // a last chunk with usage
  bool continuous_usage = false;  // usage in every chunk
  bool return_token_ids = false;
  bool return_timings = false;
  bool tokens_as_ids = false;  // "token_id:7" where a token is named
};

// Reads everything but the limits on length, logprobs and the form of the
// answer, which endpoints name differently.
void ReadGenerationFields(RequestReader& reader, GenerationFields* fields);

// Those that chat and plain completions share: n, best_of, max_tokens,
// stream_options, prompt_logprobs and what of tokens is returned.
void ReadCompletionFields(RequestReader& reader, GenerationFields* fields);

// response_format, structured_outputs and guided_*, of which one at most may
// be given.
void ReadOutputFormat(RequestReader& reader, OutputFormat* format);

// One form of OpenAI's response_format or text.format, an object at `path`.
// Responses have the schema's name and text beside the type (`flat`), chat
// completions in an object of their own.
void ReadFormatObject(const ApiJson& object, const std::string& path, bool flat,
                      RequestReader& errors, OutputFormat* format);

}  // namespace facet

#endif  // FACET_RPC_OPENAI_GENERATION_FIELDS_H_
