#include "runtime/chat/tool_call_parser.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "runtime/chat/answer_markers.h"
#include "runtime/tokenizer/utf8.h"

namespace facet {
namespace {

constexpr absl::string_view kPrefix = "call:";
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxWordBytes = 512;
constexpr size_t kMaxSpaces = 64;
constexpr size_t kMaxDepth = 64;

bool IsSpace(char c) { return absl::ascii_isspace(c); }

void AppendEscaped(char c, std::string* json) {
  switch (c) {
    case '"':
      *json += "\\\"";
      return;
    case '\\':
      *json += "\\\\";
      return;
    case '\n':
      *json += "\\n";
      return;
    case '\r':
      *json += "\\r";
      return;
    case '\t':
      *json += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20) {
    json->push_back(c);
    return;
  }
  constexpr char kHex[] = "0123456789abcdef";
  *json += "\\u00";
  json->push_back(kHex[byte >> 4]);
  json->push_back(kHex[byte & 15]);
}

// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?, and no larger than readers of
// JSON take.
bool IsNumber(absl::string_view word) {
  const absl::string_view whole = word;
  const auto take = [&word](absl::string_view any) {
    if (word.empty() || any.find(word.front()) == any.npos) return false;
    word.remove_prefix(1);
    return true;
  };
  const auto digits = [&word] {
    const size_t count =
        std::min(word.find_first_not_of("0123456789"), word.size());
    word.remove_prefix(count);
    return count > 0;
  };
  take("-");
  if (!take("0") && !digits()) return false;
  if (take(".") && !digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!digits()) return false;
  }
  double value;
  return word.empty() && absl::SimpleAtod(whole, &value) &&
         std::isfinite(value);
}

// `text` with U+FFFD for each byte that is not UTF-8.
std::string ToUtf8(absl::string_view text) {
  std::string valid;
  while (true) {
    const size_t good = ValidUtf8Prefix(text);
    valid.append(text.data(), good);
    text.remove_prefix(good);
    if (text.empty()) return valid;
    valid += "\xEF\xBF\xBD";
    text.remove_prefix(1);
  }
}

}  // namespace

void ToolCallParser::Text(absl::string_view piece,
                          std::vector<AnswerEvent>* events) {
  std::string repaired;
  if (ValidUtf8Prefix(piece) != piece.size()) {
    repaired = ToUtf8(piece);
    piece = repaired;
  }
  for (const char c : piece) Take(c, events);
  Release(events);
}

void ToolCallParser::StringMarker(std::vector<AnswerEvent>* events) {
  if (state_ == State::kWord || state_ == State::kLongWord) EndWord();
  if (state_ == State::kColon) EndMissing();
  if (state_ == State::kAfter) {
    malformed_ = true;
    state_ = Next();
  }
  switch (state_) {
    case State::kKeyOrEnd:
      BeginItem();
      BeginString(State::kQuotedKey);
      break;
    case State::kQuotedKey:
      json_ += '"';
      state_ = State::kColon;
      break;
    case State::kValue:
      if (!InObject()) BeginItem();
      BeginString(State::kString);
      break;
    case State::kString:
      json_ += '"';
      state_ = State::kAfter;
      break;
    default:
      Text(kStringMarker, events);
      return;
  }
  Release(events);
}

void ToolCallParser::Finish(std::vector<AnswerEvent>* events) {
  if (state_ == State::kPrefix || state_ == State::kName) NotACall(events);
  if (state_ == State::kContent || state_ == State::kEnded) return;
  malformed_ = true;
  if (state_ == State::kWord || state_ == State::kLongWord) EndWord();
  if (state_ == State::kString || state_ == State::kTooDeep) json_ += '"';
  if (state_ == State::kValue && !InObject()) state_ = State::kAfter;
  EndMissing();
  while (!open_.empty()) Pop();
  Release(events);
  AppendEvent({AnswerEventKind::kCallEnd, "", call_, malformed_}, events);
  state_ = State::kEnded;
}

void ToolCallParser::Take(char c, std::vector<AnswerEvent>* events) {
  switch (state_) {
    case State::kPrefix:
    case State::kName:
      TakeHead(c, events);
      return;
    case State::kContent:
      AppendEvent({AnswerEventKind::kContent, std::string(1, c)}, events);
      return;
    case State::kEnded:
      if (!IsSpace(c)) {
        state_ = State::kContent;
        Take(c, events);
      }
      return;
    case State::kKeyOrEnd:
      TakeKeyOrEnd(c, events);
      return;
    case State::kBareKey:
      if (c == ':') {
        spaces_.clear();
        json_ += "\":";
        state_ = State::kValue;
      } else {
        Write(c, /*trims=*/true);
      }
      return;
    case State::kColon:
      if (IsSpace(c)) return;
      if (c == ':') {
        json_ += ':';
        state_ = State::kValue;
        return;
      }
      EndMissing();
      TakeAfter(c, events);
      return;
    case State::kValue:
      TakeValue(c, events);
      return;
    case State::kWord:
    case State::kLongWord:
      if (c == ',' || c == ']' || c == '}') {
        EndWord();
        TakeAfter(c, events);
      } else if (state_ == State::kLongWord) {
        Write(c, /*trims=*/true);
      } else {
        word_ += c;
        if (word_.size() <= kMaxWordBytes) return;
        BeginString(State::kLongWord);
        for (const char w : std::exchange(word_, "")) Write(w, /*trims=*/true);
      }
      return;
    case State::kQuotedKey:
    case State::kString:
    case State::kTooDeep:
      Write(c, /*trims=*/false);
      return;
    case State::kAfter:
      TakeAfter(c, events);
      return;
  }
}

void ToolCallParser::TakeHead(char c, std::vector<AnswerEvent>* events) {
  if (state_ == State::kPrefix && word_.empty() && IsSpace(c)) {
    spaces_ += c;
    if (spaces_.size() > kMaxSpaces) NotACall(events);
    return;
  }
  if (state_ == State::kPrefix) {
    word_ += c;
    if (word_ == kPrefix) {
      state_ = State::kName;
    } else if (word_.back() != kPrefix[word_.size() - 1]) {
      NotACall(events);
    }
    return;
  }
  if (c != '{') {
    word_ += c;
    if (word_.size() > kMaxNameBytes) NotACall(events);
    return;
  }
  const absl::string_view name = absl::StripAsciiWhitespace(
      absl::string_view(word_).substr(kPrefix.size()));
  if (name.empty()) {
    word_ += c;
    NotACall(events);
    return;
  }
  AppendEvent({AnswerEventKind::kCallBegin,
               std::string(name.data(), name.size()), call_},
              events);
  began_ = true;
  word_.clear();
  spaces_.clear();
  Open('{');
}

void ToolCallParser::TakeKeyOrEnd(char c, std::vector<AnswerEvent>* events) {
  if (IsSpace(c) || c == ',') return;
  if (c == '}' || c == ']') {
    Close(c, events);
    return;
  }
  BeginItem();
  BeginString(State::kBareKey);
  Take(c, events);
}

void ToolCallParser::TakeValue(char c, std::vector<AnswerEvent>* events) {
  if (IsSpace(c)) return;
  const bool ends = c == ',' || c == '}' || c == ']';
  if (ends && InObject()) {
    EndMissing();
    TakeAfter(c, events);
  } else if (c == ',') {
    return;
  } else if (ends) {
    Close(c, events);
  } else {
    if (!InObject()) BeginItem();
    if (c == '{' || c == '[') {
      Open(c);
      return;
    }
    word_ = c;
    state_ = State::kWord;
  }
}

void ToolCallParser::TakeAfter(char c, std::vector<AnswerEvent>* events) {
  if (IsSpace(c)) return;
  if (c == '}' || c == ']') {
    Close(c, events);
    return;
  }
  state_ = Next();
  if (c == ',') return;
  malformed_ = true;
  Take(c, events);
}

ToolCallParser::State ToolCallParser::Next() const {
  return InObject() ? State::kKeyOrEnd : State::kValue;
}

void ToolCallParser::Open(char bracket) {
  if (open_.size() == kMaxDepth) {
    malformed_ = true;
    BeginString(State::kTooDeep);
    Write(bracket, /*trims=*/false);
    return;
  }
  json_ += bracket;
  open_ += bracket;
  first_ = true;
  state_ = Next();
}

void ToolCallParser::Close(char bracket, std::vector<AnswerEvent>* events) {
  const char wanted = bracket == '}' ? '{' : '[';
  const size_t place = open_.rfind(wanted);
  if (place != open_.size() - 1) malformed_ = true;
  if (place == std::string::npos) return;
  while (open_.size() > place) Pop();
  if (!open_.empty()) return;
  Release(events);
  AppendEvent({AnswerEventKind::kCallEnd, "", call_, malformed_}, events);
  state_ = State::kEnded;
}

void ToolCallParser::Pop() {
  json_ += open_.back() == '{' ? '}' : ']';
  open_.pop_back();
  first_ = false;
  state_ = State::kAfter;
}

void ToolCallParser::BeginItem() {
  if (!first_) json_ += ',';
  first_ = false;
}

void ToolCallParser::BeginString(State state) {
  json_ += '"';
  state_ = state;
}

void ToolCallParser::EndWord() {
  if (state_ == State::kLongWord) {
    spaces_.clear();
    json_ += '"';
  } else {
    const absl::string_view word = absl::StripTrailingAsciiWhitespace(word_);
    if (word == "None" || word == "null") {
      json_ += "null";
    } else if (word == "true" || word == "True") {
      json_ += "true";
    } else if (word == "false" || word == "False") {
      json_ += "false";
    } else if (IsNumber(word)) {
      absl::StrAppend(&json_, word);
    } else {
      json_ += '"';
      for (const char c : word) AppendEscaped(c, &json_);
      json_ += '"';
    }
    word_.clear();
  }
  state_ = State::kAfter;
}

// Ends a member of which the value, and perhaps the key's end, is missing.
void ToolCallParser::EndMissing() {
  spaces_.clear();
  switch (state_) {
    case State::kBareKey:
    case State::kQuotedKey:
      json_ += "\":null";
      break;
    case State::kColon:
      json_ += ":null";
      break;
    case State::kValue:
      json_ += "null";
      break;
    default:
      return;
  }
  malformed_ = true;
  state_ = State::kAfter;
}

void ToolCallParser::Write(char c, bool trims) {
  if (trims && IsSpace(c) && spaces_.size() < kMaxSpaces) {
    spaces_ += c;
    return;
  }
  for (const char space : spaces_) AppendEscaped(space, &json_);
  spaces_.clear();
  AppendEscaped(c, &json_);
}

void ToolCallParser::NotACall(std::vector<AnswerEvent>* events) {
  AppendEvent({AnswerEventKind::kContent, spaces_ + word_}, events);
  spaces_.clear();
  word_.clear();
  state_ = State::kContent;
}

void ToolCallParser::Release(std::vector<AnswerEvent>* events) {
  AppendEvent({AnswerEventKind::kArguments, std::exchange(json_, ""), call_},
              events);
}

}  // namespace facet
