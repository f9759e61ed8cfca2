#!/usr/bin/python3
"""Workers that others start: spare ones, ones that leave or die, too few of
them, and a coordinator that dies and comes back.

Usage: remote_workers_test.py FACET [NAME OF TEST...]
"""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
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

    def serve(self, *flags, tp=2, pp=1):
        with open(self.log, "a") as log:
            server = self.process(
                "serve", "--model", MODEL, f"--expect-workers={tp * pp}",
                f"--tp={tp}", f"--pp={pp}", "--kv-memory=16M", f"--control={self.control}",
                f"--grpc={self.grpc}", f"--http={self.http}", *flags,
                stdout=subprocess.PIPE, stderr=log)
        self.addCleanup(server.stdout.close)
        return server

    def worker(self, *flags):
        with open(self.log, "a") as log:
            return self.process("worker", f"--coordinator={self.control}",
                                *flags, stderr=log)

    # The answer to a request that has a key, asked for until it comes.
    def ask(self, key, body):
        deadline = time.monotonic() + PATIENCE
        while True:
            request = urllib.request.Request(
                f"http://{self.http}/v1/completions", json.dumps(body).encode(),
                {"Content-Type": "application/json", "Idempotency-Key": key})
            try:
                with urllib.request.urlopen(request,
                                            timeout=PATIENCE) as answer:
                    return json.load(answer)
            except (OSError, http.client.HTTPException) as error:
                code = getattr(error, "code", None)
                if code not in (None, 503) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

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

    def doctor(self, *flags):
        done = subprocess.run(
            [FACET, "doctor", f"--server={self.http}", *flags],
            capture_output=True, timeout=PATIENCE, check=False)
        return done.returncode, done.stdout.decode() + done.stderr.decode()

    def test_the_doctor_says_which_workers_a_start_waits_for(self):
        server = self.serve()
        self.worker()
        await_("one missing", lambda: "1 of 2 workers are missing" in
               self.doctor()[1])
        self.assertEqual(self.doctor()[0], 1)
        self.worker()
        self.await_ready(server)
        self.assertEqual(self.doctor()[0], 0)

    def test_the_doctor_names_a_silent_worker_while_the_cluster_hangs(self):
        expected = self.embedded()
        self.assertEqual(self.doctor()[0], 1)
        server = self.serve("--heartbeat-timeout=2h")
        workers = [self.worker(), self.worker()]
        self.await_ready(server)
        code, said = self.doctor("--calls")
        self.assertEqual(code, 0, said)
        self.assertIn("well:", said)
        self.assertIn("last calls of rank 1:", said)

        client = self.begin()
        workers[0].send_signal(signal.SIGSTOP)
        code, said = await_("a verdict", lambda: (
            lambda answer: answer if answer[0] == 1 else None)(self.doctor()))
        self.assertIn("silent: rank", said)
        self.assertIn(f"(pid {workers[0].pid}) is not heard of", said)
        self.assertIn("what to do: ", said)
        self.assertTrue(json.loads(self.doctor("--json")[1])["wrong"])
        workers[0].send_signal(signal.SIGCONT)
        self.finish(client, expected)
        await_("health", lambda: self.doctor()[0] == 0)

    def test_fewer_workers_go_on_and_more_take_part_again(self):
        expected = self.embedded()
        server = self.serve("--shrink-after=500ms", tp=2, pp=2)
        workers = [self.worker() for _ in range(4)]
        self.await_ready(server)

        # Three are left, then one, and do the others' part too.
        client = self.begin()
        workers.pop().kill()
        await_("a smaller world",
               lambda: self.lines("ready with 3 workers instead of 4"))
        self.finish(client, expected)
        client = self.begin()
        workers.pop().kill()
        workers.pop().kill()
        self.finish(client, expected)
        await_("the smallest", lambda: self.lines("ready with 1 workers instead of 4"))
        code, said = self.doctor()
        self.assertEqual(code, 0, said)
        self.assertIn("1 worker stands in for 4", said)
        self.assertEqual(self.get("healthz")[1],
                         "ok\n1 worker stands in for 4\n")

        # Others come while a stream runs, and take part.
        client = self.begin()
        workers += [self.worker() for _ in range(3)]
        await_("growth", lambda: self.lines("4 workers are here"))
        self.finish(client, expected)
        await_("health", lambda: "in for 4" not in self.doctor()[1]
               and self.get("healthz")[1] == "ok\n")

        # Two more ask for places of their own; one alone makes no plan.
        client = self.begin()
        more = [self.worker("--grow") for _ in range(2)]
        await_("more", lambda: self.lines("ready with 6 workers instead of 4"))
        self.finish(client, expected)

        # One leaves when asked to, and no token is dropped.
        client = self.begin()
        more[0].send_signal(signal.SIGTERM)
        self.finish(client, expected)
        self.assertEqual(more[0].wait(timeout=PATIENCE), 0)
        await_("four", lambda: json.loads(self.doctor("--json")[1])["spares"])

    def test_streams_wait_as_long_as_agreed_and_a_later_worker_resumes(self):
        expected = self.embedded()
        server = self.serve("--recovery-timeout=500ms",
                            "--shrink-after=never")
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


    def test_requests_and_weights_outlive_the_coordinator(self):
        bodies = {f"key-{i}": {
            "prompt": PROMPTS[i], "max_tokens": 600, "ignore_eos": True,
            "temperature": 0.8, "seed": i, "logprobs": 1} for i in range(4)}
        journal = os.path.join(os.path.dirname(self.log), "journal")
        server = self.serve(f"--journal={journal}")
        workers = [self.worker(), self.worker()]
        self.await_ready(server)
        expected = {key: self.ask("calm-" + key, body)["choices"]
                    for key, body in bodies.items()}
        self.assertEqual(len(self.lines("bytes of weights")), 2)

        before = self.metric("generation_tokens_total")
        found = {}
        users = [threading.Thread(
            target=lambda key=key, body=body:
            found.__setitem__(key, self.ask(key, body)["choices"]))
            for key, body in bodies.items()]
        for user in users:
            user.start()
        await_("tokens", lambda: self.metric("generation_tokens_total") >
               before + 400)
        self.assertLess(len(found), 4, "it was over too soon")
        server.kill()
        server.wait()
        server = self.serve(f"--journal={journal}")
        self.await_ready(server)
        for user in users:
            user.join(PATIENCE)
        self.assertEqual(found, expected)
        self.assertGreater(self.metric("requests_restored_total"), 0)
        self.assertGreater(self.metric("requests_asked_again_total"), 0)
        # What the journal had is not drawn a second time.
        self.assertLess(self.metric("generation_tokens_total"), 4 * 600 - 200)
        self.assertEqual([worker.poll() for worker in workers], [None, None])
        self.assertEqual(len(self.lines("keeps its weights")), 2)
        self.assertEqual(len(self.lines("bytes of weights")), 2)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
