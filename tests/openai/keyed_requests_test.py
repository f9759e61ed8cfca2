#!/usr/bin/python3
"""Requests that have a key: asked for again, cut off, taken up by a server that
comes after one that died, with room on the disk and without.

Usage: keyed_requests_test.py FACET [NAME OF TEST...]
"""

import http.client
import json
import os
import resource
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from facet_server import FacetServer

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")
PATIENCE = 240
PATH = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "What is Facet?"}],
        "max_tokens": 400, "ignore_eos": True, "temperature": 0.8, "seed": 7}


def await_(what, condition):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what} does not come")


class Stream:
    """A streamed answer; `events` are those read so far."""

    def __init__(self, server, body, key=None, path=PATH, headers=()):
        self.connection = http.client.HTTPConnection(server.http,
                                                     timeout=PATIENCE)
        headers = dict(headers, **{"Content-Type": "application/json"})
        if key is not None:
            headers["Idempotency-Key"] = key
        self.connection.request("POST", path,
                                json.dumps(dict(body, stream=True)), headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.again = self.response.getheader("idempotent-replayed") == "true"
        self.events = []

    def read(self, count=1 << 30):
        """Up to `count` events more; those so far."""
        while count > 0:
            line = self.response.readline()
            if not line:
                break
            if line.startswith(b"data: "):
                self.events.append(line[6:].decode().rstrip("\n"))
                count -= 1
        return self.events

    def whole(self):
        self.read()
        self.connection.close()
        assert self.events[-1] == "[DONE]", self.events[-1]
        return self.events

    def leave(self):
        self.response.close()
        self.connection.close()


def content(events):
    """By answer."""
    texts = {}
    for event in events:
        choices = json.loads(event)["choices"] if event != "[DONE]" else []
        for choice in choices:
            text = choice["delta"].get("content") or ""
            texts[choice["index"]] = texts.get(choice["index"], "") + text
    return texts


def post(server, body, key=None, headers=()):
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
    headers = dict(headers, **{"Content-Type": "application/json"})
    if key is not None:
        headers["Idempotency-Key"] = key
    connection.request("POST", PATH, json.dumps(body), headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer, response.getheader("idempotent-replayed")


def get(server, path):
    connection = http.client.HTTPConnection(server.http, timeout=PATIENCE)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def metric(server, name, label=""):
    return sum(float(line.rsplit(" ", 1)[1])
               for line in get(server, "/metrics").splitlines()
               if line.startswith(f"facet:{name}{{") and label in line)


def generated(server):
    return metric(server, "generation_tokens_total")


class Asked(unittest.TestCase):
    """Of one server that lives."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        keys = os.path.join(folder.name, "keys.json")
        with open(keys, "w") as file:
            json.dump({"keys": [
                {"name": name, "key": f"sk-{name}-0123456789abcdef"}
                for name in ("ann", "bob")]}, file)
        cls.server = FacetServer(FACET, MODEL, "--access-log=off",
                                 "--kv-memory=64M", "--open-metrics",
                                 f"--api-keys={keys}")
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.stop)
        cls.ann = {"Authorization": "Bearer sk-ann-0123456789abcdef"}
        cls.bob = {"Authorization": "Bearer sk-bob-0123456789abcdef"}

    def test_a_second_caller_gets_the_same_events_and_nothing_runs_twice(self):
        before = generated(self.server)
        first = Stream(self.server, LONG, "twice", headers=self.ann)
        first.read(5)
        second = Stream(self.server, LONG, "twice", headers=self.ann)
        self.assertTrue(second.again)
        self.assertFalse(first.again)
        self.assertEqual(second.whole(), first.whole())
        self.assertEqual(Stream(self.server, LONG, "twice",
                                headers=self.ann).whole(), first.events)
        self.assertEqual(generated(self.server) - before, 400)

    def test_whole_answers_are_the_same_to_their_ids(self):
        body = dict(LONG, max_tokens=8, tool_choice="required", tools=[
            {"type": "function", "function": {
                "name": "add", "parameters": {
                    "type": "object", "properties": {
                        "a": {"type": "integer"}}}}}])
        del body["ignore_eos"]
        _, first, again = post(self.server, body, "whole", self.ann)
        self.assertIsNone(again)
        status, second, again = post(self.server, body, "whole", self.ann)
        self.assertEqual((status, again), (200, "true"))
        self.assertEqual(second, first)
        _, other, _ = post(self.server, body, "whole-2", self.ann)
        self.assertNotEqual(other["id"], first["id"])

    def test_several_prompts_are_one_request(self):
        body = {"prompt": ["One", "Two", "Three"], "max_tokens": 12,
                "temperature": 0, "n": 2}
        first = Stream(self.server, body, "several", "/v1/completions",
                       self.ann).whole()
        second = Stream(self.server, body, "several", "/v1/completions",
                        self.ann)
        self.assertTrue(second.again)
        self.assertEqual(second.whole(), first)

    def test_another_body_under_the_key_is_refused(self):
        short = dict(LONG, max_tokens=2)
        self.assertEqual(post(self.server, short, "other", self.ann)[0], 200)
        status, answer, _ = post(self.server, dict(short, seed=8), "other",
                                 self.ann)
        self.assertEqual(status, 409)
        self.assertEqual(answer["error"]["code"], "idempotency_key_in_use")
        self.assertIn("another request", answer["error"]["message"])

    def test_keys_of_two_callers_do_not_meet(self):
        _, first, _ = post(self.server, dict(LONG, max_tokens=2), "same",
                           self.ann)
        status, second, again = post(
            self.server, dict(LONG, max_tokens=3), "same", self.bob)
        self.assertEqual((status, again), (200, None))
        self.assertEqual(second["usage"]["completion_tokens"], 3)
        self.assertNotEqual(first["id"], second["id"])

    def test_what_is_no_key_is_refused(self):
        for bad in ("a b", "k" * 256):
            status, answer, _ = post(self.server, LONG, bad, self.ann)
            self.assertEqual(status, 400)
            self.assertEqual(answer["error"]["param"], "Idempotency-Key")

    def test_a_request_goes_on_when_its_client_is_gone(self):
        before = generated(self.server)
        aborted = metric(self.server, "request_success_total",
                         'finished_reason="abort"')
        stream = Stream(self.server, LONG, "left", headers=self.ann)
        stream.read(4)
        stream.leave()
        await_("its end", lambda: generated(self.server) - before == 400)
        later = Stream(self.server, LONG, "left", headers=self.ann)
        self.assertTrue(later.again)
        self.assertEqual(later.whole()[:4], stream.events)
        self.assertEqual(generated(self.server) - before, 400)

        # Without a key it ends at once.
        stream = Stream(self.server, dict(LONG, max_tokens=100000),
                        headers=self.ann)
        stream.read(4)
        stream.leave()
        await_("its end", lambda: metric(
            self.server, "request_success_total",
            'finished_reason="abort"') == aborted + 1)

    def test_a_refused_request_may_be_asked_for_again(self):
        bad = dict(LONG, temperature=-1)
        self.assertEqual(post(self.server, bad, "bad", self.ann)[0], 400)
        good = dict(LONG, max_tokens=2)
        self.assertEqual(post(self.server, good, "bad", self.ann)[0], 200)


class Journaled(unittest.TestCase):
    """Of servers that die."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.journal = os.path.join(folder.name, "journal")
        self.log = open(os.path.join(folder.name, "log"), "w+")
        self.addCleanup(self.log.close)

    def serve(self, *flags):
        server = FacetServer(
            FACET, MODEL, "--access-log=off", "--kv-memory=64M",
            f"--journal={self.journal}", *flags, log=self.log)
        server.__enter__()
        self.addCleanup(server.stop)
        return server

    def kill(self, server):
        server.process.kill()
        server.process.wait()

    def logged(self):
        with open(self.log.name) as log:
            return log.read()

    def await_records(self, count, text=b""):
        def there():
            with open(self.journal, "rb") as file:
                found = file.read()
            return found.count(b"FJR1") >= count and text in found
        await_("the journal's records", there)

    # What an undisturbed server answers.
    def expected(self, body):
        with FacetServer(FACET, MODEL, "--access-log=off",
                         "--kv-memory=64M") as server:
            return content(Stream(server, body).whole())

    def test_the_next_server_goes_on_with_the_exact_next_token(self):
        forms = {"plain": LONG,
                 "held to a pattern": dict(LONG, structured_outputs={
                     "regex": "([a-z]{3,8}-[0-9]{2} ){8,200}"}),
                 "two answers": dict(LONG, n=2)}
        forms["held to a pattern"].pop("ignore_eos")
        expected = {name: self.expected(body) for name, body in forms.items()}
        server = self.serve()
        streams = {name: Stream(server, body, name.replace(" ", "-"))
                   for name, body in forms.items()}
        for stream in streams.values():
            stream.read(60)
        self.await_records(3 + 3 * 40)
        self.kill(server)

        server = self.serve()
        self.assertEqual(metric(server, "requests_restored_total"), 3)
        for name, body in forms.items():
            later = Stream(server, body, name.replace(" ", "-"))
            self.assertTrue(later.again)
            self.assertEqual(content(later.whole()), expected[name], name)
            # The second time it was not drawn from the first token on.
            for one, other in zip(streams[name].events[:30], later.events):
                self.assertEqual(one, other)
        self.assertLess(generated(server), 400 * 4)
        self.assertGreater(generated(server), 0)

    def test_an_answer_that_had_ended_is_there_after_the_death(self):
        server = self.serve()
        first = Stream(server, LONG, "ended").whole()
        self.await_records(1 + 400)
        self.kill(server)
        server = self.serve()
        later = Stream(server, LONG, "ended")
        self.assertTrue(later.again)
        self.assertEqual(content(later.whole()), content(first))
        self.assertEqual(generated(server), 0)
        self.assertEqual(Stream(server, LONG).whole()[-1], "[DONE]")

    def test_what_a_stop_cuts_off_is_gone_on_with(self):
        expected = self.expected(LONG)
        server = self.serve("--grace=0s")
        stream = Stream(server, LONG, "stopped")
        stream.read(20)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(PATIENCE), 0)
        stream.leave()
        later = Stream(self.serve(), LONG, "stopped")
        self.assertTrue(later.again)
        self.assertEqual(content(later.whole()), expected)

    def test_a_damaged_journal_costs_what_is_damaged(self):
        server = self.serve()
        Stream(server, dict(LONG, max_tokens=3), "early").whole()
        Stream(server, dict(LONG, max_tokens=4), "late").whole()
        self.await_records(2 + 3 + 4)
        self.kill(server)
        with open(self.journal, "r+b") as file:
            file.truncate(os.path.getsize(self.journal) - 3)
        server = self.serve()
        self.assertIn("no whole records", self.logged())
        early = Stream(server, dict(LONG, max_tokens=3), "early")
        self.assertTrue(early.again)
        early.whole()
        late = Stream(server, dict(LONG, max_tokens=4), "late")
        self.assertTrue(content(late.whole())[0])
        self.kill(server)
        with open(self.journal, "wb") as file:
            file.write(os.urandom(5000))
        server = self.serve()
        self.assertIn("is no journal", self.logged())
        self.assertFalse(Stream(server, LONG, "early").again)

    def test_a_full_disk_stops_the_journal_and_nothing_else(self):
        expected = self.expected(LONG)
        server = self.serve()
        first = Stream(server, LONG, "first")
        first.read(5)
        pid = server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (64, before[1]))
        self.assertEqual(content(first.whole()), expected)
        second = Stream(server, LONG, "second")
        self.assertEqual(content(second.whole()), expected)
        await_("the word", lambda: "the journal is suspended" in
               get(server, "/healthz"))
        self.assertEqual(get(server, "/readyz"), "ok\n")
        self.assertEqual(metric(server, "journal_suspended"), 1)
        self.assertGreater(metric(server, "journal_dropped_records"), 0)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        await_("the journal", lambda: get(server, "/healthz") == "ok\n")
        third = Stream(server, LONG, "third")
        third.read(30)
        self.await_records(2, b"third")
        self.kill(server)
        server = self.serve()
        later = Stream(server, LONG, "third")
        self.assertTrue(later.again)
        self.assertEqual(content(later.whole()), expected)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
