// `facet chat`: talks to a model in the terminal.
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/base/status_macros.h"
#include "nlohmann/json.hpp"
#include "rpc/cli/chat_input.h"
#include "rpc/cli/chat_screen.h"
#include "rpc/cli/embedded_model.h"
#include "rpc/cli/input_files.h"
#include "rpc/cli/model_flags.h"
#include "rpc/cli/sampling_flags.h"
#include "rpc/cli/server_flags.h"
#include "rpc/cli/verb.h"
#include "rpc/client/client.h"
#include "rpc/client/local_client.h"

namespace facet {
namespace {

using Json = nlohmann::ordered_json;

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  ServerFlags server;
  std::string system;
  std::string tools;
  bool think = false;
};

// Ctrl-C ends an answer that is on its way, otherwise the program.
std::atomic<bool> answering = false;
std::atomic<bool> stop_answer = false;

void OnInterrupt(int) {
  if (answering.exchange(false)) {
    stop_answer = true;
  } else {
    _exit(130);
  }
}

// Numbers beyond any float are no JSON to everybody: discarded then.
Json Arguments(const ToolCall& call) {
  return Json::parse(call.arguments, nullptr, /*allow_exceptions=*/false);
}

// The conversation so far, as the chat API has it.
class Conversation {
 public:
  static absl::StatusOr<Conversation> Start(const ChatFlags& flags) {
    Conversation result;
    if (!flags.tools.empty()) {
      FACET_ASSIGN_OR_RETURN(const std::string text, ReadInput(flags.tools));
      FACET_RETURN_IF_ERROR(ParseJson(text, flags.tools).status());
      result.json_["tools"] = Json::parse(text, nullptr, false);
      if (!result.json_["tools"].is_array()) {
        return absl::InvalidArgumentError(absl::StrCat(
            flags.tools, ": expected an array of tool declarations"));
      }
    }
    result.system_ = flags.system;
    result.Clear();
    return result;
  }

  void Clear() {
    json_["messages"] = Json::array();
    calls_ = 0;
    if (!system_.empty()) Add({{"role", "system"}, {"content", system_}});
  }

  // `images` are data: URLs.
  void AddUser(const std::string& text,
               const std::vector<std::string>& images) {
    Json content = text;
    if (!images.empty()) {
      content = Json::array();
      for (const std::string& url : images) {
        content.push_back(
            {{"type", "image_url"}, {"image_url", {{"url", url}}}});
      }
      if (!text.empty()) content.push_back({{"type", "text"}, {"text", text}});
    }
    Add({{"role", "user"}, {"content", std::move(content)}});
  }

  // Notes an answer; returns the ids of its calls.
  std::vector<std::string> AddAnswer(const ChatAnswer& answer,
                                     const std::vector<ToolCall>& calls) {
    Json message = {{"role", "assistant"}, {"content", answer.text}};
    std::vector<std::string> ids;
    if (!calls.empty()) {
      if (!answer.thought.empty()) message["reasoning"] = answer.thought;
      message["tool_calls"] = Json::array();
      for (const ToolCall& call : calls) {
        ids.push_back(absl::StrCat("call_", ++calls_));
        message["tool_calls"].push_back(
            {{"id", ids.back()},
             {"type", "function"},
             {"function",
              {{"name", call.name}, {"arguments", Arguments(call)}}}});
      }
    }
    Add(std::move(message));
    return ids;
  }

  void AddToolResult(const std::string& id, const std::string& name,
                     const std::string& result) {
    Add({{"role", "tool"},
         {"tool_call_id", id},
         {"name", name},
         {"content", result}});
  }

  // Takes back the last message.
  void DropLast() {
    Json& messages = json_["messages"];
    if (!messages.empty()) messages.erase(messages.size() - 1);
  }

  // For people to read.
  std::string Pretty() const {
    return json_.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) +
           "\n";
  }

  std::string Dump() const {
    // What is no UTF-8 stays and is refused by name.
    try {
      return json_.dump();
    } catch (const nlohmann::json::exception&) {
      return json_.dump(-1, ' ', false,
                        nlohmann::json::error_handler_t::replace);
    }
  }

 private:
  void Add(Json message) { json_["messages"].push_back(std::move(message)); }

  Json json_;
  std::string system_;
  int calls_ = 0;
};

// One answer of the model, shown as it comes.
absl::StatusOr<ChatAnswer> Ask(Client* client, const ChatFlags& flags,
                               const Conversation& conversation,
                               ChatScreen* screen) {
  TextRequest request;
  FACET_RETURN_IF_ERROR(Apply(flags.sampling, &request));
  request.kind = PromptKind::kConversation;
  request.text = conversation.Dump();
  request.enable_thinking = flags.think;
  TextEvent last;
  screen->BeginAnswer();
  stop_answer = false;
  answering = true;
  const absl::Status status =
      client->Generate({request}, [&](size_t, const TextEvent& event) {
        screen->Show(event);
        if (event.finish != FinishReason::kNone) last = event;
        return !stop_answer;
      });
  answering = false;
  FACET_RETURN_IF_ERROR(status);
  return screen->EndAnswer(last);
}

// A user's turn: answers, and tools' results in between as long as the model
// calls for them.
absl::Status Turn(Client* client, const ChatFlags& flags,
                  Conversation* conversation, ChatInput* input,
                  ChatScreen* screen) {
  while (true) {
    FACET_ASSIGN_OR_RETURN(const ChatAnswer answer,
                           Ask(client, flags, *conversation, screen));
    std::vector<ToolCall> calls;
    for (const ToolCall& call : answer.calls) {
      if (!call.malformed && Arguments(call).is_object()) calls.push_back(call);
    }
    const std::vector<std::string> ids = conversation->AddAnswer(answer, calls);
    if (calls.empty()) return absl::OkStatus();
    for (size_t i = 0; i < calls.size(); ++i) {
      std::string result;
      if (!input->ReadLine(absl::StrCat("result of ", calls[i].name, "> "),
                           &result)) {
        return absl::OkStatus();
      }
      conversation->AddToolResult(ids[i], calls[i].name, result);
    }
  }
}

constexpr char kHelp[] =
    "/clear       forgets the conversation\n"
    "/image FILE  shows a picture with your next message\n"
    "/think       turns thinking on or off\n"
    "/save FILE   writes the conversation as JSON\n"
    "/exit        leaves\n"
    "A line that ends in \\ goes on in the next; so does everything between "
    "two "
    "lines\nof \"\"\". Up and down go through what you said before. Ctrl-C "
    "ends "
    "an answer.";

// A picture's file as a data: URL.
absl::StatusOr<std::string> ImageUrl(const std::string& path) {
  FACET_ASSIGN_OR_RETURN(const std::string bytes, ReadInput(path));
  const absl::string_view head(bytes);
  const char* type = nullptr;
  if (absl::StartsWith(head, "\x89PNG")) type = "image/png";
  if (absl::StartsWith(head, "\xFF\xD8\xFF")) type = "image/jpeg";
  if (absl::StartsWith(head, "RIFF") && head.substr(8, 4) == "WEBP") {
    type = "image/webp";
  }
  if (type == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a PNG, JPEG or WebP picture"));
  }
  return absl::StrCat("data:", type, ";base64,", absl::Base64Escape(bytes));
}

absl::Status Save(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(path, ": cannot be written"));
}

// A user at a terminal.
class ChatSession {
 public:
  ChatSession(Client* client, const ChatFlags& flags, Conversation conversation)
      : client_(client),
        flags_(flags),
        conversation_(std::move(conversation)),
        input_(ChatHistoryFile()) {}

  absl::Status Run() {
    if (input_.interactive()) {
      FACET_ASSIGN_OR_RETURN(const ModelInfo info, client_->Info());
      screen_.Note(absl::StrCat(info.name, ", context ", info.context_tokens,
                                " tokens. /help says what else there is, /exit "
                                "leaves, Ctrl-C ends an answer."));
    }
    std::string turn;
    while (input_.ReadTurn("> ", &turn)) {
      if (turn.empty() && images_.empty()) continue;
      if (input_.interactive() && turn == "/exit") break;
      if (input_.interactive() && Command(turn)) continue;
      FACET_RETURN_IF_ERROR(Say(turn));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Say(const std::string& turn) {
    conversation_.AddUser(turn, std::exchange(images_, {}));
    const absl::Status status =
        Turn(client_, flags_, &conversation_, &input_, &screen_);
    if (status.ok()) return status;
    // At a terminal one bad turn (too long, say) need not end all.
    if (!input_.interactive() ||
        status.code() == absl::StatusCode::kUnavailable) {
      return status;
    }
    PrintError("chat", status);
    conversation_.DropLast();
    return absl::OkStatus();
  }

  // False: `turn` is no command.
  bool Command(const std::string& turn) {
    const size_t space = turn.find(' ');
    const std::string word = turn.substr(0, space);
    const std::string argument(absl::StripAsciiWhitespace(
        space == std::string::npos ? "" : turn.substr(space + 1)));
    if (word == "/help") {
      screen_.Note(kHelp);
    } else if (word == "/clear") {
      conversation_.Clear();
      images_.clear();
    } else if (word == "/think") {
      flags_.think = argument.empty() ? !flags_.think : argument == "on";
      screen_.Note(flags_.think ? "thinking is on" : "thinking is off");
    } else if (word == "/image") {
      const absl::StatusOr<std::string> url = ImageUrl(argument);
      if (url.ok()) images_.push_back(*url);
      Told(url.status(), "goes with your next message");
    } else if (word == "/save") {
      Told(Save(argument, conversation_.Pretty()), "written");
    } else {
      return false;
    }
    return true;
  }

  void Told(const absl::Status& status, const char* done) {
    if (status.ok()) {
      screen_.Note(done);
    } else {
      PrintError("chat", status);
    }
  }

  Client* const client_;
  ChatFlags flags_;
  Conversation conversation_;
  ChatInput input_;
  ChatScreen screen_;
  std::vector<std::string> images_;
};

absl::Status Chat(const ChatFlags& flags) {
  if (flags.model.model.empty() == flags.server.server.empty()) {
    return absl::InvalidArgumentError(
        "give either --model or --server, so that there is one model to talk "
        "to");
  }
  FACET_ASSIGN_OR_RETURN(Conversation conversation, Conversation::Start(flags));
  std::unique_ptr<EmbeddedModel> embedded;
  std::unique_ptr<Client> client;
  if (!flags.server.server.empty()) {
    FACET_ASSIGN_OR_RETURN(client, Connect(flags.server));
  } else {
    EmbeddedModelOptions options;
    FACET_ASSIGN_OR_RETURN(options.cluster, MakeClusterOptions(flags.model));
    options.chat_format = flags.model.chat_format;
    FACET_ASSIGN_OR_RETURN(embedded, EmbeddedModel::Start(options));
    FACET_RETURN_IF_ERROR(embedded->front_door().model().chat_format.status());
    client = MakeLocalClient(&embedded->front_door());
  }
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);

  return ChatSession(client.get(), flags, std::move(conversation)).Run();
}

}  // namespace

int RunChat(int argc, char** argv) {
  ChatFlags flags;
  const auto app = MakeApp(
      "chat",
      "Talks to a model in the terminal. Each line is a turn; when stdin is no "
      "terminal,\nlines are read as turns and answers alone go to stdout. A "
      "line after a tool call is\nthe tool's result.",
      "  facet chat --model DIR\n"
      "  facet chat --server=127.0.0.1:8001 --think\n"
      "  facet chat --model DIR --tools=tools.json\n"
      "  echo \"What is Facet?\" | facet chat --model DIR --temperature=0\n\n"
      "tools.json: [{\"type\": \"function\", \"function\": {\"name\": \"f\", "
      "\"description\":\n             \"...\", \"parameters\": {...}}}]\n");
  AddServerFlags(app.get(), &flags.server);
  app->add_option("--system", flags.system, "A system message to begin with");
  app->add_option("--tools", flags.tools,
                  "JSON file with tool declarations as in OpenAI's chat API");
  app->add_flag("--think", flags.think,
                "Let the model think before it answers");
  AddModelFlags(app.get(), &flags.model, /*required=*/false);
  AddSamplingFlags(app.get(), &flags.sampling, "generation_config.json's",
                   1024);
  return RunVerb(app.get(), argc, argv, [&] { return Chat(flags); });
}

}  // namespace facet
