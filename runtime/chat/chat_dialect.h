// What the published versions of the chat template do differently. Everything
// else is common to them.
#ifndef FACET_RUNTIME_CHAT_CHAT_DIALECT_H_
#define FACET_RUNTIME_CHAT_CHAT_DIALECT_H_

namespace facet {

struct ChatDialect {
  // "<|think|>" is followed by a newline.
  bool newline_after_think = true;
  // Pictures and videos stand between blank lines.
  bool blank_lines_around_pictures = false;

  // Tool declarations: "nullable" comes before what belongs to the type, and
  // "properties" and "items" always have a comma in front.
  bool nullable_first = true;
  // Of a list of types only the first is written.
  bool first_type_only = false;

  // The thoughts of calls after the last user message are kept: how they end.
  // Null: they are dropped.
  const char* end_of_thoughts = nullptr;

  // A message of role "tool" is written by the call it answers, and a model
  // turn goes on until another role speaks. Otherwise it is a turn of its own.
  bool responses_join_the_call = false;
  // A call right after tool responses opens no new turn.
  bool calls_continue_after_responses = false;
};

}  // namespace facet

#endif  // FACET_RUNTIME_CHAT_CHAT_DIALECT_H_
