#!/usr/bin/python3
"""Who may come in: API keys and certificates of `facet serve`, at both doors.

Usage: access_test.py FACET [NAME OF TEST...]
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "openai")]

from certificates import Authority, install
from facet_server import FacetServer

FACET = os.path.abspath(sys.argv[1])
MODEL = os.path.abspath("deploy/demo-model")
ALICE = "sk-alice-0123456789abcdef"
BOB = "sk-bob-0123456789abcdef00"
LIMITED = "sk-limited-0123456789abc"
# How often something that takes about a second is looked for.
ATTEMPTS = 600


def completion(tokens=2, **fields):
    return json.dumps(dict({"prompt": "Facet is", "max_tokens": tokens,
                            "temperature": 0}, **fields))


def write_keys(path, *keys):
    with open(path + ".new", "w") as file:
        json.dump({"keys": list(keys)}, file)
    os.rename(path + ".new", path)


def until(sees):
    for _ in range(ATTEMPTS):
        if sees():
            return True
        time.sleep(0.1)
    return False


class Door:
    """One connection to a server, with a key and TLS or without."""

    def __init__(self, address, key=None, context=None):
        self.headers = {"Content-Type": "application/json"}
        if key:
            self.headers["Authorization"] = f"Bearer {key}"
        self.connection = (
            http.client.HTTPSConnection(address, timeout=120, context=context)
            if context else http.client.HTTPConnection(address, timeout=120))

    def ask(self, method, path, body=None):
        self.connection.request(method, path, body, self.headers)
        response = self.connection.getresponse()
        return response, response.read()

    def status(self, method, path, body=None):
        return self.ask(method, path, body)[0].status

    def close(self):
        self.connection.close()


def generate(server, *flags, key=None):
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
    if key:
        environment["FACET_API_KEY"] = key
    return subprocess.run(
        [FACET, "generate", "--server", server.grpc, "--prompt=Facet is",
         "--max-tokens=2", "--temperature=0", *flags], capture_output=True,
        env=environment, timeout=120, check=False)


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.path = os.path.join(cls.directory.name, "keys.json")
        write_keys(cls.path, *cls.keys())
        cls.log = os.path.join(cls.directory.name, "access.log")
        cls.server = FacetServer(FACET, MODEL, f"--api-keys={cls.path}",
                                 f"--access-log={cls.log}")
        cls.server.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        cls.directory.cleanup()

    @staticmethod
    def keys():
        return ({"name": "alice", "key": ALICE},
                {"name": "limited", "key": LIMITED, "requests_per_minute": 0.01,
                 "concurrent_requests": 1})

    def test_every_path_wants_a_key_but_probes_and_the_page(self):
        anybody, alice = Door(self.server.http), Door(self.server.http, ALICE)
        wrong = Door(self.server.http, ALICE + "x")
        for method, path, body in (
                ("POST", "/v1/chat/completions", "{}"),
                ("POST", "/v1/completions", completion()),
                ("POST", "/v1/responses", "{}"), ("GET", "/v1/models", None),
                ("POST", "/tokenize", "{}"), ("POST", "/detokenize", "{}"),
                ("GET", "/metrics", None), ("GET", "/version", None),
                ("GET", "/cluster", None), ("GET", "/no/such/path", None)):
            for door in (anybody, wrong):
                response, data = door.ask(method, path, body)
                self.assertEqual(response.status, 401, (method, path))
                self.assertEqual(response.headers["WWW-Authenticate"],
                                 "Bearer")
                self.assertEqual(json.loads(data)["error"]["code"],
                                 "invalid_api_key")
            self.assertNotEqual(alice.status(method, path, body), 401)
        for path in ("/healthz", "/readyz", "/", "/page/facet.js"):
            self.assertEqual(anybody.status("GET", path), 200, path)
        self.assertEqual(alice.status("POST", "/v1/completions", completion()),
                         200)

    def test_grpc_wants_the_same_keys(self):
        without = generate(self.server)
        self.assertNotEqual(without.returncode, 0)
        self.assertIn(b"API key", without.stderr)
        self.assertNotEqual(generate(self.server, key=BOB).returncode, 0)
        with_key = generate(self.server, key=ALICE)
        self.assertEqual(with_key.returncode, 0, with_key.stderr)

    def test_a_keys_limits_hold_and_say_when_to_come_back(self):
        door = Door(self.server.http, LIMITED)
        self.assertEqual(door.status("POST", "/v1/completions", completion()),
                         200)
        response, data = door.ask("POST", "/v1/completions", completion())
        self.assertEqual(response.status, 429)
        self.assertEqual(json.loads(data)["error"]["code"],
                         "rate_limit_exceeded")
        self.assertGreater(int(response.headers["Retry-After"]), 1000)
        self.assertEqual(door.status("GET", "/v1/models"), 200,
                         "what is only read counts against no limit")
        # The same limit at the other door.
        self.assertIn(b"requests a minute",
                      generate(self.server, key=LIMITED).stderr)

    def test_the_log_names_who_it_was_and_never_the_key(self):
        Door(self.server.http, ALICE).ask("POST", "/v1/completions",
                                          completion())

        def named():
            with open(self.log) as log:
                return '"key":"alice"' in log.read()
        self.assertTrue(until(named))
        with open(self.log) as log:
            self.assertNotIn("sk-", log.read())

    def test_keys_come_and_go_while_the_server_runs(self):
        bob = Door(self.server.http, BOB)
        self.assertEqual(bob.status("GET", "/v1/models"), 401)
        write_keys(self.path, *self.keys(), {"name": "bob", "key": BOB})
        self.assertTrue(until(lambda: bob.status("GET", "/v1/models") == 200))
        with open(self.path, "w") as file:
            file.write("{")  # keeps what was
        time.sleep(1.5)
        self.assertEqual(bob.status("GET", "/v1/models"), 200)
        write_keys(self.path, *self.keys())
        self.assertTrue(until(lambda: bob.status("GET", "/v1/models") == 401))

    def test_requests_at_once_are_counted_until_their_streams_end(self):
        write_keys(self.path, *self.keys(),
                   {"name": "one", "key": BOB, "concurrent_requests": 1})
        other = Door(self.server.http, BOB)
        self.assertTrue(until(lambda: other.status("GET",
                                                   "/v1/models") == 200))
        stream = Door(self.server.http, BOB)
        stream.connection.request(
            "POST", "/v1/completions",
            completion(100000, ignore_eos=True, stream=True), stream.headers)
        response = stream.connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertEqual(other.status("POST", "/v1/completions", completion()),
                         429)
        response.close()
        stream.close()
        self.assertTrue(until(lambda: other.status(
            "POST", "/v1/completions", completion()) == 200))
        write_keys(self.path, *self.keys())


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        where = cls.directory.name
        cls.authority = Authority(where, "first")
        cls.clients = Authority(where, "clients")
        cls.strangers = Authority(where, "strangers")
        cls.certificate = os.path.join(where, "served.pem")
        cls.key = os.path.join(where, "served.key")
        install(cls.authority.issue("one"), cls.certificate, cls.key)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def serve(self, *flags):
        return FacetServer(FACET, MODEL, "--access-log=off",
                           f"--tls-cert={self.certificate}",
                           f"--tls-key={self.key}", *flags)

    def context(self, pair=None):
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if pair:
            context.load_cert_chain(*pair)
        return context

    def name_of(self, address):
        """The common name that a new connection is shown."""
        door = Door(address, context=self.context())
        door.connection.connect()
        shown = door.connection.sock.getpeercert()["subject"]
        door.close()
        return dict(one[0] for one in shown)["commonName"]

    def test_answers_and_streams_come_over_tls_alone(self):
        with self.serve() as server:
            door = Door(server.http, context=self.context())
            whole = json.loads(door.ask("POST", "/v1/completions",
                                        completion(8))[1])
            # One connection, many answers, streamed and not.
            for _ in range(5):
                response, data = door.ask("POST", "/v1/completions",
                                          completion(8, stream=True))
                self.assertEqual(response.status, 200)
                pieces = [json.loads(line[6:]) for line in data.splitlines()
                          if line.startswith(b"data: {")]
                self.assertEqual("".join(one["choices"][0]["text"]
                                         for one in pieces),
                                 whole["choices"][0]["text"])
                self.assertTrue(data.rstrip().endswith(b"[DONE]"))
            self.assertEqual(
                door.status("POST", "/v1/completions",
                            completion(prompt="x" * 300000)), 400)
            with self.assertRaises((http.client.HTTPException, OSError)):
                Door(server.http).ask("GET", "/healthz")
            with self.assertRaises(ssl.SSLError):
                Door(server.http, context=ssl.create_default_context()).ask(
                    "GET", "/healthz")
            self.assertNotEqual(generate(server).returncode, 0)
            over_tls = generate(server,
                                f"--server-ca={self.authority.certificate}")
            self.assertEqual(over_tls.returncode, 0, over_tls.stderr)

    def test_old_protocols_are_refused(self):
        with self.serve() as server:
            context = self.context()
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
            with self.assertRaises((ssl.SSLError, OSError)):
                Door(server.http, context=context).ask("GET", "/healthz")

    def test_new_certificates_are_used_without_a_restart(self):
        with self.serve() as server:
            self.assertEqual(self.name_of(server.http), "one")
            old = Door(server.http, context=self.context())
            self.assertEqual(old.status("GET", "/healthz"), 200)
            install(self.authority.issue("two"), self.certificate, self.key)
            self.addCleanup(install, self.authority.issue("one"),
                            self.certificate, self.key)
            self.assertTrue(until(
                lambda: self.name_of(server.http) == "two"))
            self.assertEqual(old.status("GET", "/healthz"), 200,
                             "a connection from before goes on")
            # A key that does not fit changes nothing.
            with open(self.key, "w") as file:
                file.write("no key")
            time.sleep(1.5)
            self.assertEqual(self.name_of(server.http), "two")

    def test_mutual_tls_lets_in_whom_the_authority_knows(self):
        known = self.clients.issue("known")
        stranger = self.strangers.issue("stranger")
        flag = f"--server-ca={self.authority.certificate}"
        with self.serve(f"--tls-client-ca={self.clients.certificate}") as server:
            self.assertEqual(
                Door(server.http, context=self.context(known)).status(
                    "GET", "/v1/models"), 200)
            for pair in (None, stranger):
                with self.assertRaises((ssl.SSLError, OSError)):
                    Door(server.http, context=self.context(pair)).ask(
                        "GET", "/v1/models")
            self.assertNotEqual(generate(server, flag).returncode, 0)
            shown = generate(server, flag, f"--client-cert={known[0]}",
                             f"--client-key={known[1]}")
            self.assertEqual(shown.returncode, 0, shown.stderr)

    def test_certificates_that_cannot_be_used_are_refused_by_name(self):
        other = self.authority.issue("other")
        for flags in ((f"--tls-cert={self.certificate}",),
                      (f"--tls-cert={self.certificate}",
                       f"--tls-key={other[1]}"),
                      ("--tls-cert=/no/such/file", f"--tls-key={self.key}")):
            done = subprocess.run(
                [FACET, "serve", "--model", MODEL, "--http=127.0.0.1:0",
                 "--grpc=127.0.0.1:0", *flags], capture_output=True,
                timeout=120, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(b"tls" if len(flags) == 1 else
                          flags[-1].split("=")[1].encode()
                          if "/no" not in flags[0] else b"/no/such/file",
                          done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
