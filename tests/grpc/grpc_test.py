#!/usr/bin/python3
"""facet.v1.Inference as clients of plain grpcio meet it, by generated code.

Usage: grpc_test.py FACET [NAME OF TEST...]

Says that it was skipped where grpcio is not installed.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.getcwd(), os.path.join(os.path.dirname(HERE), "openai")]

from facet_server import FacetServer

try:
    import grpc
    from rpc.proto import error_details_pb2, inference_pb2, inference_pb2_grpc
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")
CLIENT = os.path.abspath("deploy/clients/python/facet_chat.py")
pb = inference_pb2
KEY = "sk-alice-0123456789abcdef"
ATTEMPTS = 600

ADD = pb.ChatTool(name="add", description="Add two numbers.",
                  parameters_json=json.dumps({
                      "type": "object", "properties": {
                          "a": {"type": "number",
                                "description": "First number."},
                          "b": {"type": "number",
                                "description": "Second number."}},
                      "required": ["a", "b"]}))


def user(text):
    return pb.ChatMessage(role=pb.CHAT_ROLE_USER, content=text)


def details(error):
    status = error_details_pb2.RpcStatus()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status.ParseFromString(value)
    return {one.type_url.rsplit(".", 1)[-1]: one.value
            for one in status.details}


class Joined:
    """A chat's answer put together."""

    def __init__(self, responses):
        self.content = self.thought = ""
        self.calls, self.last, self.tokens = [], None, []
        for response in responses:
            self.last = response
            self.tokens.extend(response.tokens)
            for event in response.events:
                self.add(event)

    def add(self, event):
        kind = event.WhichOneof("kind")
        if kind == "content":
            self.content += event.content
        elif kind == "thought":
            self.thought += event.thought
        elif kind == "call_begin":
            assert event.call_begin.call == len(self.calls)
            self.calls.append({"id": event.call_begin.id,
                               "name": event.call_begin.name, "json": "",
                               "ended": False})
        elif kind == "call_arguments":
            self.calls[event.call_arguments.call]["json"] += (
                event.call_arguments.json)
        else:
            assert not event.call_end.malformed
            self.calls[event.call_end.call]["ended"] = True


class Grpc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.log = tempfile.NamedTemporaryFile()
        cls.stderr = tempfile.NamedTemporaryFile()
        cls.server = FacetServer(FACET, MODEL, f"--access-log={cls.log.name}",
                                 "--max-queue=4", "--max-sequences=4",
                                 log=cls.stderr)
        cls.server.__enter__()
        cls.channel = grpc.insecure_channel(cls.server.grpc)
        cls.stub = inference_pb2_grpc.InferenceStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.server.stop()
        cls.log.close()
        cls.stderr.close()

    def options(self, **fields):
        sampling = pb.SamplingOptions(temperature=0, **fields.pop("sampling",
                                                                  {}))
        return pb.GenerateRequest(sampling=sampling, **fields)

    def chat(self, *messages, tools=(), options=None, **fields):
        return Joined(self.stub.Chat(pb.ChatRequest(
            messages=messages, tools=tools, options=options or self.options(),
            **fields), timeout=120))

    def refused(self, code, call):
        with self.assertRaises(grpc.RpcError) as caught:
            result = call()
            if hasattr(result, "__iter__"):
                list(result)
        self.assertEqual(caught.exception.code(), code)
        return caught.exception

    def test_a_request_with_a_key_runs_once(self):
        request = self.options(text="What is Facet?", max_tokens=20,
                               ignore_eos=True, request_key="once")
        tokens = [[token.id for response in self.stub.Generate(
            request, timeout=120) for token in response.tokens]
            for _ in range(2)]
        self.assertEqual(len(tokens[0]), 20)
        self.assertEqual(tokens[0], tokens[1])
        request.max_tokens = 21
        error = self.refused(grpc.StatusCode.ALREADY_EXISTS,
                             lambda: self.stub.Generate(request, timeout=120))
        info = error_details_pb2.ErrorInfo()
        info.ParseFromString(details(error)["ErrorInfo"])
        self.assertEqual(info.reason, "KEY_IN_USE")
        request.request_key = "no key"
        error = self.refused(grpc.StatusCode.INVALID_ARGUMENT,
                             lambda: self.stub.Generate(request, timeout=120))
        self.assertIn("request_key", error.details())

    def test_calls_of_a_keyed_chat_have_the_same_ids(self):
        answers = [self.chat(user("Add 12 and 30."), tools=[ADD],
                             tool_choice=pb.TOOL_CHOICE_REQUIRED,
                             options=self.options(request_key="chat"))
                   for _ in range(2)]
        self.assertTrue(answers[0].calls)
        self.assertEqual(answers[0].calls, answers[1].calls)

    def test_a_text_is_completed_piece_by_piece(self):
        responses = list(self.stub.Generate(
            self.options(text="Facet is", max_tokens=8), timeout=120))
        self.assertGreater(len(responses), 1)
        self.assertEqual(sum(len(one.tokens) for one in responses), 8)
        self.assertEqual(responses[-1].finish_reason, pb.FINISH_REASON_LENGTH)
        self.assertEqual(responses[-1].usage.completion_tokens, 8)

    def test_text_becomes_tokens_and_text_again(self):
        text = "Hello wörld"
        ids = self.stub.Tokenize(pb.TokenizeRequest(text=text)).ids
        self.assertGreater(len(ids), 1)
        back = self.stub.Detokenize(pb.DetokenizeRequest(ids=ids))
        self.assertEqual(back.text, text)

    def test_the_model_says_what_it_is(self):
        info = self.stub.ModelInfo(pb.ModelInfoRequest())
        self.assertEqual(info.name, "demo-model")
        self.assertGreater(info.context_tokens, 0)
        self.assertTrue(info.chat_format)

    def items(self, *tasks):
        with open(os.path.join(MODEL, "eval.jsonl")) as file:
            for line in file:
                item = json.loads(line)
                if item["task"] in tasks:
                    yield item

    def test_a_chat_is_told_apart_as_the_reference_wrote_it(self):
        checked = 0
        for item in self.items("facts_think", "arithmetic_think"):
            output = item["output_text"]
            if not output.startswith("<|channel>thought\n"):
                continue
            thought, _, content = output[len("<|channel>thought\n"):].partition(
                "<channel|>")
            message = item["messages"][-1]["content"]
            if len(item["messages"]) > 1:
                continue
            answer = self.chat(user(message), options=self.options(
                enable_thinking=True, max_tokens=300))
            self.assertEqual(answer.thought, thought.rstrip("\n"))
            self.assertEqual(answer.content, content.replace("<turn|>", ""))
            checked += 1
            if checked == 8:
                break
        self.assertEqual(checked, 8)

    def test_a_tool_is_called_and_its_result_answered(self):
        question = user("Add 12 and 30.")
        called = self.chat(question, tools=[ADD])
        (call,) = called.calls
        self.assertEqual(call["name"], "add")
        self.assertEqual(json.loads(call["json"]), {"a": 12, "b": 30})
        self.assertTrue(call["ended"] and call["id"])
        self.assertTrue(called.last.called_tools)
        said = self.chat(
            question, pb.ChatMessage(
                role=pb.CHAT_ROLE_ASSISTANT, tool_calls=[pb.ChatToolCall(
                    id=call["id"], name="add", arguments_json=call["json"])]),
            pb.ChatMessage(role=pb.CHAT_ROLE_TOOL, tool_call_id=call["id"],
                           name="add", content="42"), tools=[ADD])
        self.assertIn("42", said.content)
        self.assertFalse(said.last.called_tools)

    def test_tool_choice_forbids_and_requires_calls(self):
        none = self.chat(user("Add 12 and 30."), tools=[ADD],
                         tool_choice=pb.TOOL_CHOICE_NONE,
                         options=self.options(max_tokens=20))
        self.assertEqual(none.calls, [])
        required = self.chat(user("Tell me a joke."), tools=[ADD],
                             tool_choice=pb.TOOL_CHOICE_REQUIRED,
                             tool_name="add")
        self.assertEqual([one["name"] for one in required.calls], ["add"])
        arguments = json.loads(required.calls[0]["json"])
        self.assertEqual(sorted(arguments), ["a", "b"])

    def test_log_probabilities_come_with_their_tokens(self):
        answer = self.chat(user("Hello"), options=self.options(
            max_tokens=4, sampling={"logprobs": True, "top_logprobs": 2}))
        self.assertGreater(len(answer.tokens), 0)
        for token in answer.tokens:
            self.assertLessEqual(token.logprob, 0)
            self.assertEqual(len(token.top), 2)

    def test_refusals_name_the_field_in_their_details(self):
        cases = (
            ("temperature", lambda: self.stub.Generate(pb.GenerateRequest(
                text="x", sampling=pb.SamplingOptions(temperature=-1)))),
            ("prompt", lambda: self.stub.Generate(pb.GenerateRequest())),
            ("messages", lambda: self.stub.Chat(pb.ChatRequest())),
            ("messages[0].role", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[pb.ChatMessage(content="x")]))),
            ("tools[0].name", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[user("x")], tools=[pb.ChatTool(name="a b")]))),
            ("tools[0].parameters_json", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[user("x")],
                tools=[pb.ChatTool(name="f", parameters_json="{")]))),
            ("tool_choice", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[user("x")], tool_choice=pb.TOOL_CHOICE_REQUIRED))),
            ("tool_name", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[user("x")], tools=[ADD], tool_name="add"))),
            ("options", lambda: self.stub.Chat(pb.ChatRequest(
                messages=[user("x")], options=pb.GenerateRequest(text="y")))),
        )
        for field, call in cases:
            error = self.refused(grpc.StatusCode.INVALID_ARGUMENT, call)
            bad = error_details_pb2.BadRequest.FromString(
                details(error)["BadRequest"])
            self.assertEqual([one.field for one in bad.field_violations],
                             [field], error.details())
            info = error_details_pb2.ErrorInfo.FromString(
                details(error)["ErrorInfo"])
            self.assertEqual(info.domain, "facet")

    def test_what_is_no_message_is_refused_without_a_word_in_the_log(self):
        with open(self.stderr.name, "rb") as log:
            before = log.read()
        generate = self.channel.unary_stream("/facet.v1.Inference/Generate")
        for junk in (b"\x0a\x02\xff\xfe", b"\x0a\x7f", b"\x12\x02\xff\xfe"):
            with self.assertRaises(grpc.RpcError) as caught:
                list(generate(junk, timeout=120))
            self.assertNotEqual(caught.exception.code(),
                                grpc.StatusCode.UNAVAILABLE)
        with open(self.stderr.name, "rb") as log:
            self.assertEqual(log.read(), before)

    def test_a_prompt_beyond_the_context_is_told_as_such(self):
        error = self.refused(
            grpc.StatusCode.INVALID_ARGUMENT, lambda: self.stub.Generate(
                pb.GenerateRequest(text="word " * 300000)))
        info = error_details_pb2.ErrorInfo.FromString(
            details(error)["ErrorInfo"])
        self.assertEqual(info.reason, "CONTEXT_LENGTH_EXCEEDED")

    def endless(self):
        return self.options(text="Hello", max_tokens=100000, ignore_eos=True)

    def running(self):
        """Requests that the server says are running."""
        import http.client
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        (line,) = [one for one in text.splitlines()
                   if one.startswith("facet:num_requests_running")]
        return float(line.split()[-1])

    def until_idle(self):
        for _ in range(ATTEMPTS):
            if self.running() == 0:
                return
            time.sleep(0.1)
        self.fail("requests go on without their clients")

    def test_a_call_says_where_it_stands_in_a_trace(self):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        call = self.stub.Generate(
            self.options(text="Facet is", max_tokens=2), timeout=120,
            metadata=[("traceparent", f"00-{trace}-00f067aa0ba902b7-01")])
        list(call)
        version, same, span, flags = dict(
            call.initial_metadata())["traceresponse"].split("-")
        self.assertEqual((version, same, flags), ("00", trace, "01"))
        self.assertNotEqual(span, "00f067aa0ba902b7")

    def test_each_call_is_a_line_of_the_log_without_what_was_said(self):
        trace = "0af7651916cd43dd8448eb211c80319c"
        secret = "the weather in Lisbon"
        list(self.stub.Generate(
            self.options(text=secret, max_tokens=2, ignore_eos=True),
            timeout=120,
            metadata=[("traceparent", f"00-{trace}-00f067aa0ba902b7-01")]))
        lines = []
        for _ in range(ATTEMPTS):
            with open(self.log.name) as log:
                text = log.read()
            self.assertNotIn(secret, text)
            lines = [line for line in map(json.loads, text.splitlines())
                     if line["trace_id"] == trace]
            if lines:
                break
            time.sleep(0.1)
        (line,) = lines
        self.assertEqual(line["path"], "/facet.v1.Inference/Generate")
        self.assertEqual((line["status"], line["completion_tokens"]), (0, 2))

    def test_a_deadline_ends_the_request_in_the_server_too(self):
        call = self.stub.Generate(self.endless(), timeout=1.0)
        error = self.refused(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: call)
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.until_idle()

    def test_a_cancelled_call_ends_the_request(self):
        call = self.stub.Chat(pb.ChatRequest(
            messages=[user("Hello")],
            options=self.options(max_tokens=100000, ignore_eos=True)))
        next(call)
        call.cancel()
        self.until_idle()

    def endless_reader(self):
        """A request that goes on until it is cancelled or the context is full,
        and is read."""
        call = self.stub.Generate(self.endless())

        def read():
            try:
                for _ in call:
                    pass
            except grpc.RpcError:
                pass

        threading.Thread(target=read, daemon=True).start()
        return call

    def test_a_full_queue_says_when_to_come_back(self):
        calls = []
        refusal = None
        for _ in range(ATTEMPTS):
            calls.append(self.endless_reader())
            time.sleep(0.05)
            refusal = next((call for call in calls if not call.is_active() and
                            call.code() != grpc.StatusCode.OK), None)
            if refusal is not None:
                break
        for call in calls:
            call.cancel()
        self.assertIsNotNone(refusal)
        self.assertEqual(refusal.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        retry = error_details_pb2.RetryInfo.FromString(
            details(refusal)["RetryInfo"])
        self.assertGreater(retry.retry_delay.seconds * 10 ** 9 +
                           retry.retry_delay.nanos, 0)
        self.assertIn("grpc-retry-pushback-ms",
                      dict(refusal.trailing_metadata()))
        self.until_idle()

    def raw(self, method, request):
        """A unary call of a service there is no generated code for."""
        return self.channel.unary_unary(method, lambda data: data,
                                        lambda data: data)(request, timeout=60)

    def test_health_is_told_for_each_service(self):
        check = "/grpc.health.v1.Health/Check"
        for service in (b"", b"facet.v1.Inference"):
            request = (b"\x0a" + bytes([len(service)]) + service
                       if service else b"")
            self.assertEqual(self.raw(check, request), b"\x08\x01", service)
        with self.assertRaises(grpc.RpcError) as caught:
            self.raw(check, b"\x0a\x07no.such")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_reflection_lists_the_service(self):
        call = self.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            lambda data: data, lambda data: data)
        (answer,) = list(call(iter([b"\x3a\x00"]), timeout=60))
        self.assertIn(b"facet.v1.Inference", answer)

    def test_the_example_client_talks(self):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        done = subprocess.run(
            ["/usr/bin/python3", CLIENT, "--server", self.server.grpc,
             "--think", "What is Facet?"], env=environment, timeout=120,
            capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(len(done.stdout.strip()), 5)


class GrpcWithKeys(unittest.TestCase):
    def test_calls_without_a_key_are_unauthenticated(self):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as keys:
            json.dump({"keys": [{"name": "alice", "key": KEY}]}, keys)
            keys.flush()
            with FacetServer(FACET, MODEL, "--access-log=off",
                             f"--api-keys={keys.name}") as server:
                with grpc.insecure_channel(server.grpc) as channel:
                    stub = inference_pb2_grpc.InferenceStub(channel)
                    known = [("authorization", f"Bearer {KEY}")]
                    calls = (
                        lambda m: list(stub.Generate(pb.GenerateRequest(
                            text="x", max_tokens=1), metadata=m)),
                        lambda m: list(stub.Chat(pb.ChatRequest(
                            messages=[user("x")],
                            options=pb.GenerateRequest(max_tokens=1)),
                            metadata=m)),
                        lambda m: stub.Tokenize(pb.TokenizeRequest(text="x"),
                                                metadata=m),
                        lambda m: stub.Detokenize(pb.DetokenizeRequest(
                            ids=[5]), metadata=m),
                        lambda m: stub.ModelInfo(pb.ModelInfoRequest(),
                                                 metadata=m))
                    for call in calls:
                        call(known)
                        for wrong in ([], [("authorization", "Bearer x")]):
                            with self.assertRaises(grpc.RpcError) as caught:
                                call(wrong)
                            self.assertEqual(caught.exception.code(),
                                             grpc.StatusCode.UNAUTHENTICATED)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
