#!/usr/bin/env python3
"""What clients of the OpenAI API rely on, checked against a running server with
the demo model, one sentence a check.

Usage: openai_checks.py --address HOST:PORT --model-dir DIR
                        [--client auto|package|stdlib] [NAME...]

With `--client auto` the `openai` package is used where it is installed, and a
client of the standard library otherwise; the checks are the same.
"""

import argparse
import json
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from api_clients import ApiError, StdlibClient, Timeout, make_client

CHECKS = []
MODEL = "demo-model"


def check(sentence):
    def register(function):
        CHECKS.append((function.__name__, sentence, function))
        return function
    return register


def user(text):
    return [{"role": "user", "content": text}]


def greedy(text="What is Facet?", **fields):
    return dict({"model": MODEL, "messages": user(text), "temperature": 0},
                **fields)


def refused(status, call, *args, **fields):
    try:
        answer = call(*args, **fields)
        if not isinstance(answer, dict):
            answer = list(answer)
    except ApiError as error:
        assert error.status == status, f"expected {status}, got {error}"
        assert error.message, error
        return error
    raise AssertionError(f"expected {status}, got {answer}")


class Joined:
    """A streamed chat completion put together."""

    def __init__(self, chunks):
        self.content, self.thought, self.roles = {}, {}, {}
        self.finish, self.calls, self.usage, self.logprobs = {}, {}, None, {}
        self.ids, self.chunks = set(), 0
        for chunk in chunks:
            self.chunks += 1
            self.ids.add(chunk["id"])
            assert chunk["object"] == "chat.completion.chunk", chunk
            if chunk.get("usage"):
                self.usage = chunk["usage"]
            for choice in chunk["choices"]:
                self.add(choice)

    def add(self, choice):
        index, delta = choice["index"], choice["delta"]
        if delta.get("role"):
            self.roles[index] = delta["role"]
        self.content[index] = (self.content.get(index, "") +
                               (delta.get("content") or ""))
        self.thought[index] = (self.thought.get(index, "") +
                               (delta.get("reasoning_content") or ""))
        if choice.get("logprobs"):
            self.logprobs.setdefault(index, []).extend(
                choice["logprobs"]["content"])
        for piece in delta.get("tool_calls") or []:
            calls = self.calls.setdefault(index, [])
            while len(calls) <= piece["index"]:
                calls.append({"id": None, "name": None, "arguments": "",
                              "pieces": 0})
            call = calls[piece["index"]]
            call["id"] = call["id"] or piece.get("id")
            function = piece.get("function") or {}
            call["name"] = call["name"] or function.get("name")
            if function.get("arguments"):
                call["arguments"] += function["arguments"]
                call["pieces"] += 1
        if choice.get("finish_reason"):
            assert index not in self.finish, "two ends of one answer"
            self.finish[index] = choice["finish_reason"]


ADD = {"type": "function", "function": {
    "name": "add", "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {
        "a": {"type": "number", "description": "First number."},
        "b": {"type": "number", "description": "Second number."}},
        "required": ["a", "b"]}}}


class Items:
    """The demo model's own questions, with the reference's answers."""

    def __init__(self, directory):
        with open(os.path.join(directory, "eval.jsonl")) as file:
            self.all = [json.loads(line) for line in file]

    def of(self, task, count=None):
        return [one for one in self.all if one["task"] == task][:count]


def expected_parts(output):
    """Thought, content and raw calls of the reference's output."""
    for end in ("<turn|>", "<|tool_response>"):
        output = output[:-len(end)] if output.endswith(end) else output
    thought = ""
    if output.startswith("<|channel>thought\n"):
        thought, _, output = output[len("<|channel>thought\n"):].partition(
            "<channel|>")
    calls = []
    while "<|tool_call>" in output:
        before, _, rest = output.partition("<|tool_call>")
        call, _, after = rest.partition("<tool_call|>")
        calls.append(call)
        output = before + after
    return thought.rstrip("\n"), output, calls


def tool_call_of(raw):
    """(name, arguments) of call:NAME{...} as far as the demo model writes it."""
    name, _, rest = raw[len("call:"):].partition("{")
    text = "{" + rest.replace('<|"|>', '"')
    quoted, key, in_string = "", "", False
    for char in text:
        if char == '"':
            in_string = not in_string
        if not in_string and (char.isalnum() or char == "_"):
            key += char
            continue
        quoted += f'"{key}"' if char == ":" and key and not in_string else key
        key = ""
        quoted += char
    return name, json.loads(quoted)


# --- models -----------------------------------------------------------------

@check("the list of models has the served one")
def models_list(client, items):
    (model,) = client.models()
    assert model["id"] == MODEL and model["object"] == "model", model


@check("a model is found by its name")
def model_by_name(client, items):
    assert client.model(MODEL)["id"] == MODEL


@check("a model that is not there is 404")
def model_missing(client, items):
    error = refused(404, client.model, "gpt-4o")
    assert error.code == "model_not_found", error


@check("asking a model that is not there is 404 and names the field")
def chat_with_missing_model(client, items):
    error = refused(404, client.chat, **greedy(model="gpt-4o"))
    assert error.code == "model_not_found" and error.param == "model", error


# --- chat -------------------------------------------------------------------

@check("a question is answered")
def chat_answers(client, items):
    answer = client.chat(**greedy())
    choice = answer["choices"][0]
    assert choice["message"]["content"].startswith("Facet is"), choice
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-") and answer["model"] == MODEL


@check("usage adds up")
def chat_usage(client, items):
    usage = client.chat(**greedy())["usage"]
    assert usage["prompt_tokens"] > 5 and usage["completion_tokens"] > 5
    assert usage["total_tokens"] == (usage["prompt_tokens"] +
                                     usage["completion_tokens"])


@check("a prompt asked before is found in the cache")
def chat_cached(client, items):
    fields = greedy("What is a pipeline stage? " + "word " * 60, max_tokens=2)
    client.chat(**fields)
    usage = client.chat(**fields)["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0, usage


@check("max_tokens cuts the answer, with finish_reason length")
def chat_max_tokens(client, items):
    answer = client.chat(**greedy(max_tokens=3))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 3


@check("max_completion_tokens does the same")
def chat_max_completion_tokens(client, items):
    answer = client.chat(**greedy(max_completion_tokens=4))
    assert answer["usage"]["completion_tokens"] == 4


@check("content may be a list of text parts")
def chat_text_parts(client, items):
    parts = [{"type": "text", "text": "What is Facet?"}]
    answer = client.chat(**greedy(
        messages=[{"role": "user", "content": parts}]))
    assert answer["choices"][0]["message"]["content"].startswith("Facet is")


@check("system and developer messages are taken")
def chat_system(client, items):
    for role in ("system", "developer"):
        answer = client.chat(**greedy(messages=[
            {"role": role, "content": "You are Facet's demo model."},
            {"role": "user", "content": "Upper case: wheel"}]))
        assert answer["choices"][0]["message"]["content"] == "WHEEL", answer


@check("earlier turns are part of the conversation")
def chat_turns(client, items):
    answer = client.chat(**greedy(messages=[
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!", "refusal": None},
        {"role": "user", "content": "Upper case: wheel"}]))
    assert answer["usage"]["prompt_tokens"] > 20
    assert answer["choices"][0]["finish_reason"] == "stop"


@check("temperature 0 gives the same answer every time")
def chat_greedy(client, items):
    answers = {client.chat(**greedy("Tell me a joke."))["choices"][0]["message"]
               ["content"] for _ in range(3)}
    assert len(answers) == 1, answers


@check("a seed gives the same answer again, another seed another one")
def chat_seed(client, items):
    def ask(seed):
        return client.chat(**greedy("Tell me a story.", temperature=1.5,
                                    seed=seed, max_tokens=40))["choices"][0][
                                        "message"]["content"]
    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in range(5)}) > 1


@check("n answers come with their own indices and the sum of their tokens")
def chat_n(client, items):
    answer = client.chat(**greedy("Tell me a story.", n=3, temperature=1.2,
                                  seed=1, max_tokens=20))
    assert [one["index"] for one in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["completion_tokens"] > 20


@check("an answer ends before a stop string")
def chat_stop(client, items):
    whole = client.chat(**greedy())["choices"][0]["message"]["content"]
    stop = whole[10:16]
    answer = client.chat(**greedy(stop=stop))["choices"][0]
    assert answer["message"]["content"] == whole[:whole.index(stop)], answer
    assert answer["finish_reason"] == "stop"


@check("of several stop strings the first to come counts")
def chat_stops(client, items):
    whole = client.chat(**greedy())["choices"][0]["message"]["content"]
    answer = client.chat(**greedy(stop=["never there", whole[20:25],
                                        whole[8:12]]))["choices"][0]
    assert whole.startswith(answer["message"]["content"])
    assert whole[8:12] not in answer["message"]["content"][8:]


@check("stop_token_ids end an answer")
def chat_stop_token_ids(client, items):
    ids = client.chat(**greedy(return_token_ids=True))["choices"][0]["token_ids"]
    answer = client.chat(**greedy(stop_token_ids=[ids[4]]))
    assert answer["usage"]["completion_tokens"] == ids.index(ids[4]) + 1


@check("min_tokens holds the end back")
def chat_min_tokens(client, items):
    answer = client.chat(**greedy("Upper case: wheel", min_tokens=20,
                                  max_tokens=25))
    assert answer["usage"]["completion_tokens"] >= 20


@check("logit_bias can forbid a token")
def chat_logit_bias(client, items):
    ids = client.chat(**greedy(return_token_ids=True))["choices"][0]["token_ids"]
    answer = client.chat(**greedy(logit_bias={str(ids[0]): -100},
                                  return_token_ids=True, max_tokens=5))
    assert answer["choices"][0]["token_ids"][0] != ids[0]


@check("penalties change what is said again")
def chat_penalties(client, items):
    fields = greedy("Tell me a story.", max_tokens=80, ignore_eos=True)
    plain = client.chat(**fields)["choices"][0]["message"]["content"]
    other = client.chat(**dict(fields, frequency_penalty=2.0,
                               presence_penalty=2.0))["choices"][0][
                                   "message"]["content"]
    assert plain != other


@check("top_k 1 is greedy, whatever the temperature")
def chat_top_k(client, items):
    plain = client.chat(**greedy())["choices"][0]["message"]["content"]
    other = client.chat(**greedy(temperature=2.0, top_k=1))
    assert other["choices"][0]["message"]["content"] == plain


@check("the bytes of logprobs join to the content")
def chat_logprobs(client, items):
    choice = client.chat(**greedy(logprobs=True, top_logprobs=3))["choices"][0]
    entries = choice["logprobs"]["content"]
    text = b"".join(bytes(one["bytes"]) for one in entries).decode()
    assert text == choice["message"]["content"], text
    for one in entries:
        assert len(one["top_logprobs"]) == 3
        assert one["logprob"] <= 0
        assert one["top_logprobs"][0]["logprob"] >= one["logprob"] - 1e-6


@check("logprobs without top_logprobs have no alternatives")
def chat_logprobs_alone(client, items):
    choice = client.chat(**greedy(logprobs=True, max_tokens=3))["choices"][0]
    assert all(not one["top_logprobs"]
               for one in choice["logprobs"]["content"])


@check("prompt_logprobs tell every token of the prompt")
def chat_prompt_logprobs(client, items):
    answer = client.chat(**greedy(prompt_logprobs=2, max_tokens=1,
                                  return_token_ids=True))
    assert len(answer["prompt_logprobs"]) == len(answer["prompt_token_ids"])
    assert answer["prompt_logprobs"][0] is None
    second = str(answer["prompt_token_ids"][1])
    assert second in answer["prompt_logprobs"][1], answer["prompt_logprobs"][1]


# --- chat, streamed ---------------------------------------------------------

@check("a stream says what the whole answer says")
def stream_equals_whole(client, items):
    whole = client.chat(**greedy())["choices"][0]
    joined = Joined(client.chat_stream(**greedy()))
    assert joined.content[0] == whole["message"]["content"]
    assert joined.finish[0] == whole["finish_reason"]
    assert joined.roles[0] == "assistant"
    assert joined.chunks > 5 and len(joined.ids) == 1


@check("usage comes in the last chunk when it is asked for")
def stream_usage(client, items):
    chunks = list(client.chat_stream(**greedy(
        stream_options={"include_usage": True})))
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"], chunks[-1]
    assert all(not chunk.get("usage") for chunk in chunks[:-1])
    whole = client.chat(**greedy())["usage"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert chunks[-1]["usage"][name] == whole[name]


@check("usage does not come when it is not asked for")
def stream_without_usage(client, items):
    assert Joined(client.chat_stream(**greedy())).usage is None


@check("n answers are streamed side by side and equal the whole ones")
def stream_n(client, items):
    fields = greedy("Tell me a story.", n=2, temperature=1.0, seed=3,
                    max_tokens=30)
    whole = client.chat(**fields)["choices"]
    joined = Joined(client.chat_stream(**fields))
    for one in whole:
        assert joined.content[one["index"]] == one["message"]["content"]
        assert joined.finish[one["index"]] == one["finish_reason"]


@check("streamed logprobs join to the content")
def stream_logprobs(client, items):
    joined = Joined(client.chat_stream(**greedy(logprobs=True,
                                                top_logprobs=1)))
    text = b"".join(bytes(one["bytes"]) for one in joined.logprobs[0])
    assert text.decode() == joined.content[0]


@check("a stop string is never seen in a stream, not even its beginning")
def stream_stop(client, items):
    whole = client.chat(**greedy())["choices"][0]["message"]["content"]
    stop = whole[10:20]
    joined = Joined(client.chat_stream(**greedy(stop=[stop])))
    assert joined.content[0] == whole[:10], joined.content


@check("a client that leaves ends its request")
def stream_cancelled(client, items):
    plain = StdlibClient(client.address)

    def metric(name):
        _, _, text = plain.request("GET", "/metrics")
        for line in text.decode().splitlines():
            if line.startswith(name):
                return float(line.rsplit(" ", 1)[1])
        return 0.0
    running = "facet:num_requests_running"
    stream = client.chat_stream(**greedy(ignore_eos=True, max_tokens=100000))
    next(stream)

    def until(holds):
        for _ in range(2400):
            if holds(metric(running)):
                return
            time.sleep(0.05)
        raise AssertionError(f"{metric(running)} requests run")
    until(lambda count: count >= 1)
    stream.close()
    until(lambda count: count == 0)


# --- thinking ---------------------------------------------------------------

@check("thoughts come in reasoning_content and never in content")
def thinking_whole(client, items):
    for item in items.of("arithmetic_think", 4):
        thought, content, _ = expected_parts(item["output_text"])
        message = client.chat(**greedy(
            messages=item["messages"], reasoning_effort="high"))[
                "choices"][0]["message"]
        assert message["reasoning_content"] == thought, message
        assert message["reasoning"] == thought
        assert message["content"] == content, message


@check("streamed thoughts are the same")
def thinking_streamed(client, items):
    for item in items.of("facts_think", 4):
        thought, content, _ = expected_parts(item["output_text"])
        joined = Joined(client.chat_stream(**greedy(
            messages=item["messages"], enable_thinking=True)))
        assert joined.thought[0] == thought
        assert joined.content[0] == content


@check("thinking is off unless asked for")
def thinking_off(client, items):
    for fields in ({}, {"reasoning_effort": "none"},
                   {"chat_template_kwargs": {"enable_thinking": False}}):
        message = client.chat(**greedy("13 + 27 = ?", **fields))["choices"][0][
            "message"]
        assert not message.get("reasoning_content"), message


@check("chat_template_kwargs turn thinking on")
def thinking_kwargs(client, items):
    message = client.chat(**greedy(
        "13 + 27 = ?", chat_template_kwargs={"enable_thinking": True}))[
            "choices"][0]["message"]
    assert "carry" in message["reasoning_content"], message


@check("include_reasoning false leaves thoughts out")
def thinking_hidden(client, items):
    answer = client.chat(**greedy("13 + 27 = ?", enable_thinking=True,
                                  include_reasoning=False))
    message = answer["choices"][0]["message"]
    assert not message.get("reasoning_content") and "40" in message["content"]
    details = answer["usage"]["completion_tokens_details"]
    assert details["reasoning_tokens"] > 0


@check("reasoning tokens are counted")
def thinking_usage(client, items):
    usage = client.chat(**greedy("13 + 27 = ?", enable_thinking=True))["usage"]
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    assert 0 < thought < usage["completion_tokens"], usage


@check("thoughts end when their budget is used up")
def thinking_budget(client, items):
    item = items.of("arithmetic_think", 1)[0]
    fields = greedy(messages=item["messages"], enable_thinking=True,
                    max_tokens=100)
    whole = client.chat(**fields)
    short = client.chat(**dict(fields, thinking_token_budget=5))
    thought = short["choices"][0]["message"]["reasoning_content"]
    full = whole["choices"][0]["message"]["reasoning_content"]
    assert thought and full.startswith(thought) and len(thought) < len(full)
    assert short["choices"][0]["message"]["content"]
    same = client.chat(**dict(fields, thinking_token_budget=1000))
    assert same["choices"][0]["message"] == whole["choices"][0]["message"]


@check("fields that contradict each other about thinking are refused")
def thinking_contradiction(client, items):
    refused(400, client.chat, **greedy(reasoning_effort="none",
                                       enable_thinking=True))


# --- tools ------------------------------------------------------------------

@check("the right tool is called with the right arguments")
def tools_auto(client, items):
    for item in items.of("tool_call", 6):
        _, _, raw = expected_parts(item["output_text"])
        choice = client.chat(**greedy(messages=item["messages"],
                                      tools=item["tools"]))["choices"][0]
        calls = choice["message"]["tool_calls"]
        assert choice["finish_reason"] == "tool_calls"
        assert choice["message"]["content"] is None
        assert len(calls) == len(raw)
        for call, text in zip(calls, raw):
            name, arguments = tool_call_of(text)
            assert call["type"] == "function" and call["id"]
            assert call["function"]["name"] == name
            assert json.loads(call["function"]["arguments"]) == arguments


@check("streamed calls are the same, their arguments in pieces")
def tools_streamed(client, items):
    pieces = 0
    for item in items.of("tool_call", 6):
        _, _, raw = expected_parts(item["output_text"])
        joined = Joined(client.chat_stream(**greedy(
            messages=item["messages"], tools=item["tools"])))
        assert joined.finish[0] == "tool_calls"
        for call, text in zip(joined.calls[0], raw):
            name, arguments = tool_call_of(text)
            assert call["name"] == name and call["id"]
            assert json.loads(call["arguments"]) == arguments
            pieces = max(pieces, call["pieces"])
    assert pieces > 1


@check("a tool's result is answered")
def tools_answer(client, items):
    for item in items.of("tool_answer", 4):
        _, content, _ = expected_parts(item["output_text"])
        answer = client.chat(**greedy(messages=item["messages"],
                                      tools=item["tools"]))
        assert answer["choices"][0]["message"]["content"] == content


@check("a loop of call, result and answer works as clients write it")
def tools_loop(client, items):
    messages = user("What is 12 + 30? Use the tool.")
    for _ in range(3):
        message = client.chat(**greedy(messages=messages, tools=[ADD]))[
            "choices"][0]["message"]
        messages.append(message)
        if not message.get("tool_calls"):
            break
        for call in message["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"],
                             "content": json.dumps(sum(
                                 v for v in arguments.values()
                                 if isinstance(v, (int, float))))})
    assert messages[-1].get("content"), messages


@check("tools that are not needed are not called")
def tools_none_needed(client, items):
    item = items.of("tool_none", 1)[0]
    choice = client.chat(**greedy(messages=item["messages"],
                                  tools=item["tools"]))["choices"][0]
    assert not choice["message"].get("tool_calls")
    assert choice["finish_reason"] == "stop"


@check("tool_choice none forbids calls")
def tools_choice_none(client, items):
    for item in items.of("tool_call", 3):
        choice = client.chat(**greedy(messages=item["messages"],
                                      tools=item["tools"], max_tokens=40,
                                      tool_choice="none"))["choices"][0]
        assert not choice["message"].get("tool_calls"), choice


@check("parallel_tool_calls false allows one call")
def tools_one(client, items):
    item = items.of("tool_call", 1)[0]
    message = client.chat(**greedy(messages=item["messages"],
                                   tools=item["tools"],
                                   parallel_tool_calls=False))["choices"][0][
                                       "message"]
    assert len(message["tool_calls"]) == 1
    json.loads(message["tool_calls"][0]["function"]["arguments"])


@check("a tool that is not declared cannot be chosen")
def tools_unknown_choice(client, items):
    error = refused(400, client.chat, **greedy(
        tools=[ADD], tool_choice={"type": "function",
                                  "function": {"name": "subtract"}}))
    assert error.param == "tool_choice", error


@check("a tool of another type is refused by its place")
def tools_other_type(client, items):
    error = refused(400, client.chat, **greedy(tools=[{"type": "retrieval"}]))
    assert error.param == "tools[0].type", error


@check("tool_choice required makes the model call, validly")
def tools_required(client, items):
    for text in ("Hello", "What is Facet?", "Tell me a joke."):
        choice = client.chat(**greedy(text, tools=[ADD], max_tokens=200,
                                      tool_choice="required"))["choices"][0]
        (call, *_) = choice["message"]["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        assert set(arguments) == {"a", "b"}, arguments
        assert all(isinstance(v, (int, float)) for v in arguments.values())
        assert choice["finish_reason"] == "tool_calls"
        assert not choice["message"]["content"]


@check("a named tool is the one that is called")
def tools_named(client, items):
    item = items.of("tool_call", 1)[0]
    for tool in item["tools"]:
        name = tool["function"]["name"]
        joined = Joined(client.chat_stream(**greedy(
            messages=item["messages"], tools=item["tools"], max_tokens=200,
            tool_choice={"type": "function", "function": {"name": name}})))
        (call,) = joined.calls[0]
        assert call["name"] == name, call
        arguments = json.loads(call["arguments"])
        wanted = tool["function"]["parameters"]["required"]
        # What the model would never call may go on for ever.
        assert (set(wanted) <= set(arguments) or
                joined.finish[0] == "length"), (joined.finish, arguments)


@check("thoughts may come before a call that is required")
def tools_required_thinking(client, items):
    message = client.chat(**greedy(
        "13 + 27 = ?", tools=[ADD], tool_choice="required", max_tokens=300,
        enable_thinking=True))["choices"][0]["message"]
    json.loads(message["tool_calls"][0]["function"]["arguments"])


@check("strict tools get arguments that satisfy their schema, at any heat")
def tools_strict(client, items):
    tool = {"type": "function", "function": {
        "name": "paint", "description": "Paint a wall.", "strict": True,
        "parameters": {"type": "object", "properties": {
            "colour": {"enum": ["red", "green"]},
            "coats": {"type": "integer", "minimum": 1, "maximum": 3}},
            "required": ["colour", "coats"], "additionalProperties": False}}}
    for seed in range(4):
        message = client.chat(**greedy(
            "Paint the wall.", tools=[tool], tool_choice="required",
            temperature=2.0, seed=seed, max_tokens=200,
            parallel_tool_calls=False))["choices"][0]["message"]
        (call,) = message["tool_calls"]
        arguments = json.loads(call["function"]["arguments"])
        assert arguments["colour"] in ("red", "green"), arguments
        assert arguments["coats"] in (1, 2, 3), arguments


@check("strict tools are called as freely as others where calls are optional")
def tools_strict_auto(client, items):
    item = items.of("tool_call", 1)[0]
    name, arguments = tool_call_of(expected_parts(item["output_text"])[2][0])
    tools = json.loads(json.dumps(item["tools"]))
    for tool in tools:
        tool["function"]["strict"] = True
    message = client.chat(**greedy(messages=item["messages"], tools=tools))[
        "choices"][0]["message"]
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == name
    assert json.loads(call["function"]["arguments"]) == arguments
    other = client.chat(**greedy("What is Facet?", tools=tools))
    assert other["choices"][0]["message"]["content"].startswith("Facet is")


@check("a strict schema that cannot be followed is refused by its place")
def tools_strict_refused(client, items):
    tool = {"type": "function", "function": {
        "name": "f", "strict": True, "parameters": {
            "type": "object", "if": {"required": ["a"]}}}}
    error = refused(400, client.chat, **greedy(tools=[tool]))
    assert error.param == "tools[0].function.parameters", error


@check("a response with a form may call a tool in its place")
def tools_beside_form(client, items):
    item = items.of("tool_call", 1)[0]
    answer = client.chat(**greedy(
        messages=item["messages"], tools=item["tools"], max_tokens=200,
        response_format={"type": "json_object"}))["choices"][0]["message"]
    if answer.get("tool_calls"):
        json.loads(answer["tool_calls"][0]["function"]["arguments"])
    else:
        json.loads(answer["content"])


@check("responses take required and named functions")
def respond_required(client, items):
    item = items.of("tool_call", 1)[0]
    name = item["tools"][0]["function"]["name"]
    for choice in ("required", {"type": "function", "name": name}):
        answer = client.respond(**response(
            "Hello", tools=flat(item["tools"]), tool_choice=choice,
            max_output_tokens=200))
        calls = [one for one in answer["output"]
                 if one["type"] == "function_call"]
        assert calls, answer["output"]
        if choice != "required":
            assert calls[0]["name"] == name


# --- forms ------------------------------------------------------------------

PERSON = {"type": "object", "properties": {
    "name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"], "additionalProperties": False}


@check("json_object gives an object")
def form_json_object(client, items):
    answer = client.chat(**greedy("Extract JSON: This is Felix, aged 56.",
                                  response_format={"type": "json_object"},
                                  max_tokens=200))
    assert isinstance(json.loads(
        answer["choices"][0]["message"]["content"]), dict)


@check("json_schema gives what the schema says")
def form_json_schema(client, items):
    answer = client.chat(**greedy(
        "Extract JSON from this sentence: This is Felix, aged 56.",
        max_tokens=200, response_format={
            "type": "json_schema", "json_schema": {
                "name": "person", "strict": True, "schema": PERSON}}))
    person = json.loads(answer["choices"][0]["message"]["content"])
    assert person == {"name": "Felix", "age": 56}, person


@check("a schema holds in a stream too")
def form_streamed(client, items):
    joined = Joined(client.chat_stream(**greedy(
        "Tell me a joke.", max_tokens=300, response_format={
            "type": "json_schema", "json_schema": {
                "name": "person", "schema": {
                    "type": "object", "properties": {
                        "ok": {"type": "boolean"}}, "required": ["ok"]}}})))
    assert isinstance(json.loads(joined.content[0])["ok"], bool)


@check("structured_outputs take a choice, a pattern and a grammar")
def form_structured(client, items):
    for form, legal in (({"choice": ["red", "green"]}, ("red", "green")),
                        ({"regex": "(yes|no)"}, ("yes", "no")),
                        ({"grammar": 'root ::= "a" | "b"'}, ("a", "b"))):
        answer = client.chat(**greedy(structured_outputs=form, max_tokens=20))
        assert answer["choices"][0]["message"]["content"] in legal


@check("the older guided_choice is the same")
def form_guided(client, items):
    answer = client.chat(**greedy(guided_choice=["red", "green"]))
    assert answer["choices"][0]["message"]["content"] in ("red", "green")


@check("a schema that is none is refused by name")
def form_bad_schema(client, items):
    error = refused(400, client.chat, **greedy(response_format={
        "type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "nothing"}}}))
    assert error.param == "response_format", error


@check("two forms at once are refused")
def form_twice(client, items):
    refused(400, client.chat, **greedy(response_format={"type": "json_object"},
                                       guided_choice=["a"]))


# --- plain completions ------------------------------------------------------

def completion(prompt="Facet is", **fields):
    return dict({"model": MODEL, "prompt": prompt, "temperature": 0,
                 "max_tokens": 8}, **fields)


@check("a text is completed, by 16 tokens unless told otherwise")
def complete_text(client, items):
    fields = completion(ignore_eos=True)
    fields.pop("max_tokens")
    answer = client.complete(**fields)
    assert answer["object"] == "text_completion"
    assert answer["usage"]["completion_tokens"] == 16
    assert answer["choices"][0]["finish_reason"] == "length"


@check("token ids are completed as the text they stand for")
def complete_tokens(client, items):
    plain = StdlibClient(client.address)
    ids = plain.call("POST", "/tokenize", {"prompt": "Facet is"})["tokens"]
    by_text = client.complete(**completion())
    by_ids = client.complete(**completion(ids))
    assert (by_ids["choices"][0]["text"] == by_text["choices"][0]["text"])


@check("several prompts are answered in order")
def complete_prompts(client, items):
    prompts = ["Facet is", "A worker", "The coordinator"]
    answer = client.complete(**completion(prompts, n=2))
    assert [one["index"] for one in answer["choices"]] == list(range(6))
    for i, prompt in enumerate(prompts):
        alone = client.complete(**completion(prompt))["choices"][0]["text"]
        assert answer["choices"][2 * i]["text"] == alone


@check("echo repeats the prompt")
def complete_echo(client, items):
    plain = client.complete(**completion())["choices"][0]["text"]
    echoed = client.complete(**completion(echo=True))["choices"][0]["text"]
    assert echoed == "Facet is" + plain


@check("echo with max_tokens 0 measures the prompt alone")
def complete_score(client, items):
    answer = client.complete(**completion(echo=True, max_tokens=0, logprobs=1))
    choice = answer["choices"][0]
    assert choice["text"] == "Facet is"
    lists = choice["logprobs"]
    assert lists["token_logprobs"][0] is None
    assert all(one <= 0 for one in lists["token_logprobs"][1:])
    assert len({len(lists[name]) for name in (
        "tokens", "token_logprobs", "top_logprobs", "text_offset")}) == 1
    assert answer["usage"]["completion_tokens"] == 0


@check("completion logprobs come in four lists of one length")
def complete_logprobs(client, items):
    choice = client.complete(**completion(logprobs=2))["choices"][0]
    lists = choice["logprobs"]
    assert "".join(lists["tokens"]) == choice["text"]
    assert lists["text_offset"][0] == 0
    assert all(2 <= len(one) <= 3 for one in lists["top_logprobs"])


@check("a streamed completion says what the whole one says")
def complete_stream(client, items):
    whole = client.complete(**completion(n=2, max_tokens=12))
    text, finish = {}, {}
    usage = None
    for chunk in client.complete_stream(**completion(
            n=2, max_tokens=12, stream_options={"include_usage": True})):
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            index = choice["index"]
            text[index] = text.get(index, "") + choice["text"]
            finish[index] = choice["finish_reason"] or finish.get(index)
    for one in whole["choices"]:
        assert text[one["index"]] == one["text"]
        assert finish[one["index"]] == one["finish_reason"]
    assert usage["completion_tokens"] == whole["usage"]["completion_tokens"]


@check("best_of shows the likeliest")
def complete_best_of(client, items):
    answer = client.complete(**completion(best_of=4, n=1, temperature=1.0,
                                          seed=5))
    assert len(answer["choices"]) == 1


@check("a suffix is refused")
def complete_suffix(client, items):
    assert refused(400, client.complete,
                   **completion(suffix="end")).param == "suffix"


# --- responses --------------------------------------------------------------

def response(said="What is Facet?", **fields):
    return dict({"model": MODEL, "input": said, "temperature": 0,
                 "store": False}, **fields)


def output_text(answer):
    return "".join(part["text"] for item in answer["output"]
                   if item["type"] == "message" for part in item["content"])


@check("a response answers as chat does")
def respond_text(client, items):
    whole = client.chat(**greedy())["choices"][0]["message"]["content"]
    answer = client.respond(**response())
    assert answer["object"] == "response" and answer["status"] == "completed"
    assert output_text(answer) == whole
    usage = answer["usage"]
    assert usage["total_tokens"] == (usage["input_tokens"] +
                                     usage["output_tokens"])


@check("instructions and items make a conversation")
def respond_items(client, items):
    answer = client.respond(**response(
        [{"role": "user", "content": "Hello"},
         {"type": "message", "role": "assistant",
          "content": [{"type": "output_text", "text": "Hello!"}]},
         {"role": "user", "content": [
             {"type": "input_text", "text": "Upper case: wheel"}]}],
        instructions="You are Facet's demo model."))
    assert answer["status"] == "completed" and output_text(answer)


@check("max_output_tokens makes a response incomplete")
def respond_incomplete(client, items):
    answer = client.respond(**response(max_output_tokens=3))
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"]["reason"] == "max_output_tokens"


@check("streamed events build the same response")
def respond_stream(client, items):
    events = list(client.respond_stream(**response()))
    kinds = [event["type"] for event in events]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(
        range(len(events)))
    text = "".join(event["delta"] for event in events
                   if event["type"] == "response.output_text.delta")
    final = events[-1]["response"]
    assert text == output_text(final)
    assert text == output_text(client.respond(**response()))
    for kind in ("response.output_item.added", "response.content_part.added",
                 "response.output_text.done", "response.content_part.done",
                 "response.output_item.done"):
        assert kinds.count(kind) == 1, kinds


@check("a response's thoughts are an item of their own")
def respond_thoughts(client, items):
    item = items.of("arithmetic_think", 1)[0]
    thought, content, _ = expected_parts(item["output_text"])
    answer = client.respond(**response(item["messages"],
                                       reasoning={"effort": "medium"}))
    reasoning = [one for one in answer["output"] if one["type"] == "reasoning"]
    assert reasoning[0]["content"][0]["text"] == thought, reasoning
    assert output_text(answer) == content


def flat(tools):
    return [dict(tool["function"], type="function", strict=False)
            for tool in tools]


@check("a response calls functions and answers from their output")
def respond_tools(client, items):
    item = items.of("tool_call", 1)[0]
    name, arguments = tool_call_of(expected_parts(item["output_text"])[2][0])
    answer = client.respond(**response(item["messages"],
                                       tools=flat(item["tools"])))
    (call,) = [one for one in answer["output"]
               if one["type"] == "function_call"]
    assert call["name"] == name
    assert json.loads(call["arguments"]) == arguments
    again = client.respond(**response(
        item["messages"] +
        [{"type": "function_call", "call_id": call["call_id"],
          "name": call["name"], "arguments": call["arguments"]},
         {"type": "function_call_output", "call_id": call["call_id"],
          "output": "done"}], tools=flat(item["tools"])))
    assert output_text(again), again


@check("streamed calls of a response come as events of arguments")
def respond_tools_streamed(client, items):
    item = items.of("tool_call", 1)[0]
    events = list(client.respond_stream(**response(
        item["messages"], tools=flat(item["tools"]))))
    deltas = "".join(
        event["delta"] for event in events
        if event["type"] == "response.function_call_arguments.delta")
    (done,) = [event for event in events
               if event["type"] == "response.function_call_arguments.done"]
    assert json.loads(deltas) == json.loads(done["arguments"])


@check("text.format keeps a response to a schema")
def respond_schema(client, items):
    answer = client.respond(**response(
        "Extract JSON from this sentence: This is Felix, aged 56.",
        max_output_tokens=200, text={"format": {
            "type": "json_schema", "name": "person", "schema": PERSON}}))
    assert json.loads(output_text(answer)) == {"name": "Felix", "age": 56}


@check("what would need storage is refused by name")
def respond_storage(client, items):
    for field, value in (("previous_response_id", "resp_1"), ("store", True),
                         ("background", True)):
        error = refused(400, client.respond, **response(**{field: value}))
        assert error.param == field, error


# --- refusals ---------------------------------------------------------------

@check("a field that nobody knows is refused by name")
def refuse_unknown(client, items):
    error = refused(400, client.chat, **greedy(temprature=0.5))
    assert error.param == "temprature", error
    assert error.code == "unknown_parameter", error


@check("values out of range are refused by name")
def refuse_ranges(client, items):
    for field, value in (("temperature", -1), ("top_p", 0), ("n", 0),
                         ("presence_penalty", 3), ("max_tokens", 0),
                         ("top_logprobs", 99)):
        fields = greedy(**{field: value})
        if field == "top_logprobs":
            fields["logprobs"] = True
        if field == "temperature":
            fields["temperature"] = value
        error = refused(400, client.chat, **fields)
        assert error.param == field, (field, error)


@check("values of the wrong type are refused by name")
def refuse_types(client, items):
    for field, value in (("temperature", "hot"), ("stop", 7), ("stream", "yes"),
                         ("logit_bias", [1]), ("messages", "hello"),
                         ("tools", {}), ("seed", "x")):
        error = refused(400, StdlibClient(client.address).chat,
                        **dict(greedy(), **{field: value}))
        assert error.param == field, (field, error)


@check("an empty conversation is refused")
def refuse_no_messages(client, items):
    assert refused(400, client.chat, **greedy(messages=[])).param == "messages"


@check("a picture is refused by its place")
def refuse_picture(client, items):
    error = refused(400, client.chat, **greedy(messages=[
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:,"}}]}]))
    assert error.param == "messages[0].content[1].type", error


@check("an unknown role is refused by its place")
def refuse_role(client, items):
    error = refused(400, client.chat, **greedy(
        messages=[{"role": "wizard", "content": "x"}]))
    assert error.param == "messages[0].role", error


@check("a prompt longer than the context is refused as such")
def refuse_too_long(client, items):
    error = refused(400, client.chat, **greedy("word " * 300000))
    assert error.code == "context_length_exceeded", error
    assert error.param == "messages", error
    error = refused(400, client.complete, model=MODEL, prompt="word " * 300000)
    assert error.code == "context_length_exceeded", error
    assert error.param == "prompt", error
    error = refused(400, client.respond, model=MODEL, input="word " * 300000,
                    store=False)
    assert error.param == "input", error


@check("no-ops are accepted")
def accept_no_ops(client, items):
    client.chat(**greedy(max_tokens=2, user="me", store=False,
                         metadata={"a": "b"}, service_tier="auto",
                         prompt_cache_key="k", safety_identifier="s"))


@check("what is not JSON is refused")
def refuse_not_json(client, items):
    plain = StdlibClient(client.address)
    for body in (b"", b"{", b"[]", b"\xff", b'{"a":1,"a":2}',
                 b"[" * 100000 + b"]" * 100000):
        status, _, data = plain.request(
            "POST", "/v1/chat/completions", body,
            {"Content-Type": "application/json"})
        assert status == 400, (body[:20], status)
        assert json.loads(data)["error"]["message"]


@check("another content type is 415, another method 405, another path 404")
def refuse_transport(client, items):
    plain = StdlibClient(client.address)
    assert plain.request("POST", "/v1/completions", b"{}",
                         {"Content-Type": "text/plain"})[0] == 415
    status, headers, _ = plain.request("GET", "/v1/completions")
    assert status == 405 and headers["Allow"] == "POST"
    assert plain.request("POST", "/v1/models", {})[0] == 405
    assert plain.request("POST", "/v1/images", {})[0] == 404


@check("a body that is too large is 413")
def refuse_large(client, items):
    status, _, _ = StdlibClient(client.address).request(
        "POST", "/v1/completions", b'{"prompt":"' + b"x" * (5 << 20) + b'"}',
        {"Content-Type": "application/json"})
    assert status == 413, status


@check("a request past its time is 504")
def refuse_late(client, items):
    error = refused(504, client.chat, **greedy(
        ignore_eos=True, max_tokens=100000, timeout_seconds=0.2))
    assert error.code == "timeout", error


@check("a stream past its time ends in an error")
def stream_late(client, items):
    refused(0, client.chat_stream, **greedy(
        ignore_eos=True, max_tokens=100000, timeout_seconds=0.2))


@check("a client that waits no longer leaves nothing behind")
def client_timeout(client, items):
    try:
        client.chat(timeout=0.3, **greedy(ignore_eos=True, max_tokens=100000))
    except Timeout:
        return
    raise AssertionError("no timeout")


# --- the rest ---------------------------------------------------------------

@check("a request's id comes back, and one is made where there is none")
def request_ids(client, items):
    plain = StdlibClient(client.address)
    body = greedy(max_tokens=1)
    _, headers, _ = plain.request("POST", "/v1/chat/completions", body,
                                  {"x-request-id": "mine-1"})
    assert headers["x-request-id"] == "mine-1"
    _, headers, _ = plain.request("POST", "/v1/chat/completions", body)
    assert headers["x-request-id"].startswith("req_")


@check("a trace is taken on, and begun where there is none")
def traces(client, items):
    plain = StdlibClient(client.address)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    _, headers, _ = plain.request(
        "GET", "/v1/models",
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    version, same, span, flags = headers["traceresponse"].split("-")
    assert (version, same, flags) == ("00", trace, "01"), headers
    assert span != "00f067aa0ba902b7", headers
    _, headers, _ = plain.request("GET", "/v1/models",
                                  headers={"traceparent": "nonsense"})
    assert headers["traceresponse"].split("-")[1] not in (trace, "0" * 32)


@check("timings come when they are asked for")
def timings(client, items):
    plain = StdlibClient(client.address)
    body = greedy(max_tokens=8, ignore_eos=True, return_timings=True)
    whole = plain.chat(**body)["timings"]
    assert 0 <= whole["queue_ms"] <= whole["first_token_ms"], whole
    assert 0 < whole["first_token_ms"] <= whole["total_ms"], whole
    assert whole["tokens_per_second"] > 0, whole
    *_, last = plain.chat_stream(**body)
    assert last["timings"]["first_token_ms"] > 0, last
    assert "timings" not in plain.chat(**greedy(max_tokens=2))
    text = plain.complete(prompt="Facet", max_tokens=4, return_timings=True)
    assert text["timings"]["total_ms"] > 0, text


@check("nobody else's page may read answers")
def no_cors(client, items):
    _, headers, _ = StdlibClient(client.address).request(
        "GET", "/v1/models", headers={"Origin": "https://example.org"})
    assert not any(name.lower().startswith("access-control")
                   for name in headers), headers


@check("text becomes tokens and text again")
def tokenize(client, items):
    plain = StdlibClient(client.address)
    text = "Hello <bos> wörld\n{\"a\": 1}"
    answer = plain.call("POST", "/tokenize", {
        "model": MODEL, "prompt": text, "return_token_strs": True})
    assert answer["count"] == len(answer["tokens"]) == len(
        answer["token_strs"])
    back = plain.call("POST", "/detokenize", {"tokens": answer["tokens"]})
    assert back["prompt"].endswith(text), back


@check("a conversation's tokens are those its prompt has")
def tokenize_chat(client, items):
    plain = StdlibClient(client.address)
    for item in items.of("tool_answer", 2) + items.of("facts", 2):
        body = {"messages": item["messages"]}
        if item.get("tools"):
            body["tools"] = item["tools"]
        answer = plain.call("POST", "/tokenize", body)
        assert answer["tokens"] == item["prompt_tokens"]


@check("every text item of the model's own list is answered as the reference")
def reference_answers(client, items):
    wrong = []
    tasks = ("tool_call", "tool_answer", "tool_none", "facts_think",
             "arithmetic_think", "text_think")
    for item in items.all:
        if item["task"] not in tasks:
            continue
        fields = greedy(messages=item["messages"], max_tokens=300,
                        enable_thinking=item["enable_thinking"])
        if item.get("tools"):
            fields["tools"] = item["tools"]
        thought, content, raw = expected_parts(item["output_text"])
        whole = client.chat(**fields)["choices"][0]["message"]
        joined = Joined(client.chat_stream(**fields))
        calls = [(one["function"]["name"],
                  json.loads(one["function"]["arguments"]))
                 for one in whole.get("tool_calls") or []]
        streamed = [(one["name"], json.loads(one["arguments"]))
                    for one in joined.calls.get(0, [])]
        expected = [tool_call_of(one) for one in raw]
        if ((whole.get("reasoning_content") or "") != thought or
                (whole["content"] or "") != content or calls != expected or
                joined.thought[0] != thought or joined.content[0] != content or
                streamed != expected):
            wrong.append((item["id"], whole, item["output_text"]))
    assert not wrong, wrong[:3]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--model-dir", required=True)
    parser.add_argument("--client", default="auto",
                        choices=["auto", "package", "stdlib"])
    parser.add_argument("names", nargs="*")
    flags = parser.parse_args()
    return run(flags.address, flags.model_dir, flags.client, flags.names)


def run(address, model_dir, kind, names=()):
    client = make_client(kind, address)
    items = Items(model_dir)
    failed = 0
    chosen = [one for one in CHECKS if not names or one[0] in names]
    for name, sentence, function in chosen:
        try:
            function(client, items)
            print(f"ok      {name}: {sentence}")
        except Exception:  # of whatever kind: the next check still runs
            failed += 1
            print(f"FAILED  {name}: {sentence}")
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    print(f"{len(chosen) - failed} of {len(chosen)} checks passed, "
          f"with {client.name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
