// One tool call, as the model writes it, to JSON while it comes:
//
//   call:NAME{key:VALUE,...}
//   VALUE: <|"|>text<|"|>, number, true, false, None, [VALUE,...],
//          {key:VALUE,...}
//
// where <|"|> is a control token, so that a string may hold anything, and keys
// are bare. White space around keys, values and punctuation does not count.
//
// A model may write anything, and every text has a reading:
// - what does not begin with call:NAME{ is no call: all of it is content, and
//   so is text behind the closing brace;
// - a word that is no value is the string it looks like; `null`, `True` and
//   `False` are the values they look like; keys may stand between <|"|>;
// - where the syntax breaks, the call is malformed: a missing value is null, a
//   missing comma is put in, what was not closed is closed, brackets too many
//   are dropped, and what nests deeper than 64 levels is a string of its text.
#ifndef FACET_RUNTIME_CHAT_TOOL_CALL_PARSER_H_
#define FACET_RUNTIME_CHAT_TOOL_CALL_PARSER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "runtime/chat/answer_event.h"

namespace facet {

// Takes time linear in the text. Between calls it keeps less than 2 KB.
class ToolCallParser {
 public:
  // `call` is the number of the call in events.
  explicit ToolCallParser(int call) : call_(call) {}

  // Text between the tokens that open and close a call, in any pieces that end
  // between characters; what is not UTF-8 becomes U+FFFD. Appends events: once
  // the name is known kCallBegin, then kArguments, whose texts join to a JSON
  // object, and with the closing brace kCallEnd.
  void Text(absl::string_view piece, std::vector<AnswerEvent>* events);

  // The token <|"|>.
  void StringMarker(std::vector<AnswerEvent>* events);

  // Nothing more comes.
  void Finish(std::vector<AnswerEvent>* events);

  // It is a call: kCallBegin is out.
  bool began() const { return began_; }

 private:
  enum class State : uint8_t {
    kPrefix,     // in "call:"
    kName,       // of the function
    kContent,    // no call
    kKeyOrEnd,   // of an object
    kBareKey,    //
    kQuotedKey,  //
    kColon,      // behind a quoted key
    kValue,      // or the end of a list
    kWord,       // a value that is no string, kept in word_
    kLongWord,   // one too long to be anything but text
    kString,     //
    kAfter,      // a value
    kTooDeep,    // all that follows is one string
    kEnded,      // behind the last brace
  };

  void Take(char c, std::vector<AnswerEvent>* events);
  // What c does where no text is expected.
  void TakeKeyOrEnd(char c, std::vector<AnswerEvent>* events);
  void TakeValue(char c, std::vector<AnswerEvent>* events);
  void TakeAfter(char c, std::vector<AnswerEvent>* events);
  void TakeHead(char c, std::vector<AnswerEvent>* events);

  void Open(char bracket);
  // Closes up to the innermost open list or object, as `bracket` says.
  void Close(char bracket, std::vector<AnswerEvent>* events);
  void Pop();
  // A value or a member begins.
  void BeginItem();
  void BeginString(State state);
  void EndWord();
  void EndMissing();
  // The state in which the next member or item is expected.
  State Next() const;
  bool InObject() const { return !open_.empty() && open_.back() == '{'; }

  // Appends text to the string being written. White space at its end is held
  // back where `trims`.
  void Write(char c, bool trims);
  void NotACall(std::vector<AnswerEvent>* events);
  void Release(std::vector<AnswerEvent>* events);

  const int call_;
  State state_ = State::kPrefix;
  bool began_ = false;
  bool malformed_ = false;
  bool first_ = true;   // nothing stands in the innermost list or object yet
  std::string word_;    // the head of the call, or a word
  std::string spaces_;  // held back
  std::string open_;    // brackets
  std::string json_;    // arguments not yet told
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_TOOL_CALL_PARSER_H_
