#!/usr/bin/python3
"""The OpenAI API of `facet serve` as its clients meet it.

Usage: openai_test.py FACET [NAME OF TEST...]
"""

import http.client
import http.server
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "load")]

import openai_checks
import stream_load
from api_clients import StdlibClient
from facet_server import FacetServer

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.log = tempfile.NamedTemporaryFile()
        cls.server = FacetServer(
            FACET, MODEL, f"--access-log={cls.log.name}", "--kv-memory=256M",
            "--max-sequences=64", "--cors-origin=https://page.example")
        cls.server.__enter__()
        cls.client = StdlibClient(cls.server.http)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.log.close()

    def test_clients_get_what_they_rely_on(self):
        kinds = ["stdlib"]
        try:
            import openai  # noqa: F401, where it is installed
            kinds.append("package")
        except ImportError:
            pass
        self.assertGreaterEqual(len(openai_checks.CHECKS), 60)
        for kind in kinds:
            self.assertEqual(
                openai_checks.run(self.server.http, MODEL, kind), 0)

    def test_the_readmes_examples_work(self):
        with open("README.md") as file:
            blocks = re.findall(r"^```\n(.*?)^```", file.read(),
                                re.MULTILINE | re.DOTALL)
        examples = [one for block in blocks for one in block.split("\n\n")
                    if one.startswith("curl ")]
        self.assertGreaterEqual(len(examples), 3)
        for example in examples:
            command = example.replace("127.0.0.1:8000", self.server.http)
            done = subprocess.run(["sh", "-c", command], capture_output=True,
                                  timeout=120, check=False)
            self.assertEqual(done.returncode, 0, (command, done.stderr))
            self.assertNotIn(b'"error":{', done.stdout, command)
            self.assertTrue(b'"choices"' in done.stdout or
                            b'"data"' in done.stdout or
                            b'"output"' in done.stdout, (command, done.stdout))

    def test_each_request_leaves_one_line_that_says_nothing_of_its_content(self):
        secret = "a secret that nobody logs"
        self.client.request(
            "POST", "/v1/chat/completions",
            {"messages": [{"role": "user", "content": secret}],
             "max_tokens": 2}, {"x-request-id": "logged-1"})
        self.client.request("POST", "/v1/completions", {"prompt": 7},
                            {"x-request-id": "logged-2"})
        lines = []
        for _ in range(600):
            time.sleep(0.1)
            with open(self.log.name) as log:
                text = log.read()
            lines = [json.loads(line) for line in text.splitlines()]
            if any(line.get("request_id") == "logged-2" for line in lines):
                break
        self.assertNotIn(secret, text)
        (good,) = [one for one in lines if one.get("request_id") == "logged-1"]
        (bad,) = [one for one in lines if one.get("request_id") == "logged-2"]
        self.assertEqual(good["status"], 200)
        self.assertEqual(good["completion_tokens"], 2)
        self.assertEqual(good["path"], "/v1/chat/completions")
        self.assertEqual(bad["status"], 400)
        self.assertEqual(bad["error"], "invalid_value")

    def test_named_origins_may_call(self):
        status, headers, _ = self.client.request(
            "OPTIONS", "/v1/chat/completions",
            headers={"Origin": "https://page.example",
                     "Access-Control-Request-Method": "POST"})
        self.assertEqual(status, 204)
        self.assertEqual(headers["Access-Control-Allow-Origin"],
                         "https://page.example")
        _, headers, _ = self.client.request(
            "GET", "/v1/models", headers={"Origin": "https://other.example"})
        self.assertNotIn("Access-Control-Allow-Origin", headers)

    def test_a_connection_is_kept_for_several_requests(self):
        connection = http.client.HTTPConnection(self.server.http, timeout=60)
        body = json.dumps({"prompt": "Hello", "max_tokens": 2})
        for _ in range(3):
            connection.request("POST", "/v1/completions", body,
                               {"Content-Type": "application/json"})
            response = connection.getresponse()
            self.assertEqual(response.status, 200)
            response.read()
        connection.close()


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what a server exports."""

    spans = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in body["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                self.spans.extend(scope["spans"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *unused):
        pass


class Traces(unittest.TestCase):
    def test_each_call_is_exported_with_its_parts_unless_nobody_samples(self):
        collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        self.addCleanup(collector.server_close)
        self.addCleanup(collector.shutdown)
        port = collector.server_address[1]
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        with FacetServer(FACET, MODEL, "--access-log=off", "--otlp-endpoint="
                         f"http://127.0.0.1:{port}/v1/traces") as server:
            client = StdlibClient(server.http)
            for flags, used in (("01", trace), ("00", trace[::-1])):
                client.request(
                    "POST", "/v1/completions",
                    {"prompt": "Facet", "max_tokens": 8, "ignore_eos": True},
                    {"traceparent": f"00-{used}-00f067aa0ba902b7-{flags}"})
        # The server's end sends what is left.
        spans = {one["name"]: one for one in Collector.spans
                 if one["traceId"] == trace}
        self.assertEqual(sorted(spans), ["POST /v1/completions", "decode",
                                         "prefill", "queue"])
        call = spans["POST /v1/completions"]
        self.assertEqual(call["parentSpanId"], "00f067aa0ba902b7")
        self.assertEqual(call["kind"], 2)
        for name in ("queue", "prefill", "decode"):
            self.assertEqual(spans[name]["parentSpanId"], call["spanId"])
            self.assertLessEqual(int(call["startTimeUnixNano"]),
                                 int(spans[name]["startTimeUnixNano"]))
            self.assertLessEqual(int(spans[name]["startTimeUnixNano"]),
                                 int(spans[name]["endTimeUnixNano"]))
        self.assertFalse([one for one in Collector.spans
                          if one["traceId"] == trace[::-1]])


class Crowd(unittest.TestCase):
    def test_streams_side_by_side_are_all_whole_beside_peers_that_do_not_read(
            self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE,
                        (soft, hard))
        with FacetServer(FACET, MODEL, "--access-log=off",
                         "--max-sequences=64") as server:
            self.assertEqual(stream_load.run(
                ["--address", server.http, "--streams=200", "--tokens=8",
                 "--slow=8", "--idle=8"]), 0)

    def test_a_full_queue_is_429_with_the_time_to_wait(self):
        with FacetServer(FACET, MODEL, "--access-log=off", "--max-queue=1",
                         "--max-sequences=1") as server:
            client = StdlibClient(server.http)
            body = {"messages": [{"role": "user", "content": "Hello"}],
                    "max_tokens": 100000, "ignore_eos": True}
            refusals = []
            refused = threading.Event()

            def read():
                try:
                    for _ in client.chat_stream(**body):
                        if refused.is_set():
                            return
                except openai_checks.ApiError as error:
                    refusals.append(error)
                    refused.set()
            # One runs and one waits, whichever of them the server meets first.
            readers = [threading.Thread(target=read) for _ in range(4)]
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            self.assertTrue(refusals)
            for error in refusals:
                self.assertEqual(error.status, 429)
                self.assertEqual(error.code, "rate_limit_exceeded")
                self.assertGreaterEqual(int(error.headers["retry-after"]), 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
