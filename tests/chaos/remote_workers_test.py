#!/usr/bin/python3
"""Workers that others start: spare ones, ones that leave or die, too few of
them, and a coordinator that dies and comes back.

Usage: remote_workers_test.py FACET [NAME OF TEST...]
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")
PATIENCE = 240
PROMPTS = [[2, 10 + i, 30, 20 + i, 40] for i in range(6)]
LIMITS = ["--max-tokens=600", "--ignore-eos", "--temperature=0.8", "--seed=5"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def await_(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} does not come")


class RemoteWorkers(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.tokens = os.path.join(folder.name, "prompts.json")
        with open(self.tokens, "w") as file:
            json.dump({"prompts": PROMPTS}, file)
        self.control = f"127.0.0.1:{free_port()}"
        self.grpc = f"127.0.0.1:{free_port()}"
        self.http = f"127.0.0.1:{free_port()}"
        self.log = os.path.join(folder.name, "log")

    def process(self, *args, **more):
        started = subprocess.Popen([FACET, *args], **more)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        return started

    def serve(self, *flags):
        with open(self.log, "a") as log:
            server = self.process(
                "serve", "--model", MODEL, "--expect-workers=2", "--tp=2",
                "--kv-memory=16M", f"--control={self.control}",
                f"--grpc={self.grpc}", f"--http={self.http}", *flags,
                stdout=subprocess.PIPE, stderr=log)
        self.addCleanup(server.stdout.close)
        return server

    def worker(self):
        return self.process("worker", f"--coordinator={self.control}")

    def await_ready(self, server):
        self.assertTrue(select.select([server.stdout], [], [], PATIENCE)[0])
        self.assertIn(b"ready", server.stdout.readline())

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.http}/{path}",
                                        timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name):
        return sum(float(line.rsplit(" ", 1)[1])
                   for line in self.get("metrics")[1].splitlines()
                   if line.startswith(f"facet:{name}{{"))

    def lines(self, words):
        with open(self.log) as file:
            return [line for line in file if words in line]

    def embedded(self):
        done = subprocess.run(
            [FACET, "generate", "--json", "--model", MODEL, "--workers=1",
             "--tokens", self.tokens, *LIMITS],
            capture_output=True, timeout=PATIENCE, check=True)
        return json.loads(done.stdout)["outputs"]

    # Starts a generation and returns once it is under way.
    def begin(self):
        before = self.metric("generation_tokens_total")
        client = self.process("generate", "--json", "--server", self.grpc,
                              "--tokens", self.tokens, *LIMITS,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.stderr.close)
        await_("a token", lambda: self.metric("generation_tokens_total") >
               before + 20)
        self.assertIsNone(client.poll(), "it was over too soon")
        return client

    def finish(self, client, expected):
        out, errors = client.communicate(timeout=PATIENCE)
        self.assertEqual(client.returncode, 0, errors)
        self.assertEqual(json.loads(out)["outputs"], expected)

    def test_spares_take_places_and_missing_workers_are_waited_for(self):
        expected = self.embedded()
        server = self.serve()
        workers = [self.worker(), self.worker()]
        self.await_ready(server)

        # One is killed, and a spare is there.
        spare = self.worker()
        time.sleep(0.5)
        client = self.begin()
        workers[0].kill()
        self.finish(client, expected)
        self.assertEqual(len(self.lines("epoch 2 is ready")), 1)

        # One is asked to leave while another is there.
        workers = [workers[1], spare, self.worker()]
        time.sleep(0.5)
        client = self.begin()
        workers[0].send_signal(signal.SIGTERM)
        self.finish(client, expected)
        self.assertEqual(workers[0].wait(timeout=PATIENCE), 0)
        self.assertTrue(self.lines("received SIGTERM"))

        # One is killed and nobody is there until somebody comes.
        client = self.begin()
        workers[1].kill()
        await_("degradation", lambda: "degraded" in self.get("healthz")[1])
        self.assertEqual(self.get("healthz")[0], 200)
        self.assertEqual(self.get("readyz")[0], 503)
        self.assertIsNone(client.poll())
        self.worker()
        self.finish(client, expected)
        await_("health", lambda: self.get("healthz")[1] == "ok\n")
        self.assertEqual(self.get("readyz")[0], 200)
        self.assertGreaterEqual(self.metric("recoveries_total"), 3)
        self.assertEqual(self.metric("num_requests_running"), 0)

        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(timeout=PATIENCE), 0)

    def test_streams_wait_as_long_as_agreed_and_a_later_worker_resumes(self):
        expected = self.embedded()
        server = self.serve("--recovery-timeout=500ms")
        workers = [self.worker(), self.worker()]
        self.await_ready(server)
        client = self.begin()
        workers[0].kill()
        _, errors = client.communicate(timeout=PATIENCE)
        self.assertEqual(client.returncode, 1)
        self.assertIn(b"no recovery within 500ms", errors)
        self.worker()
        await_("health", lambda: self.get("healthz")[1] == "ok\n")
        self.finish(self.begin(), expected)

    def test_workers_outlive_their_coordinator(self):
        expected = self.embedded()
        server = self.serve()
        workers = [self.worker(), self.worker()]
        self.await_ready(server)
        self.begin()
        server.kill()
        server.wait()
        time.sleep(0.5)
        server = self.serve()
        self.await_ready(server)
        self.finish(self.begin(), expected)
        self.assertEqual([worker.poll() for worker in workers], [None, None])
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(timeout=PATIENCE), 0)
        for worker in workers:
            self.assertEqual(worker.wait(timeout=PATIENCE), 0)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
