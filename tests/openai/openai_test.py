#!/usr/bin/python3
"""The OpenAI API of `facet serve` as its clients meet it.

Usage: openai_test.py FACET [NAME OF TEST...]
"""

import http.client
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
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
        for _ in range(100):
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
            streams = []
            refusals = []
            for _ in range(4):
                stream = client.chat_stream(**body)
                try:
                    next(stream)
                    streams.append(stream)
                except openai_checks.ApiError as error:
                    refusals.append(error)
            self.assertTrue(refusals)
            for error in refusals:
                self.assertEqual(error.status, 429)
                self.assertEqual(error.code, "rate_limit_exceeded")
                self.assertGreaterEqual(int(error.headers["retry-after"]), 1)
            for stream in streams:
                stream.close()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
