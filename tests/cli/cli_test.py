#!/usr/bin/python3
"""The facet command as its users meet it: exit codes, one-line errors, and that
every way to the same answer gives the same answer.

Usage: cli_test.py FACET [NAME OF TEST...]
"""

import array
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
import urllib.request

FACET = os.path.abspath(sys.argv[1])
GOLDEN = os.path.abspath("tests/testdata/golden")
DENSE = os.path.join(GOLDEN, "dense-tiny")
MOE = os.path.join(GOLDEN, "moe-tiny")
TIMEOUT = 240


def facet(*args, stdin=b""):
    return subprocess.run([FACET, *args], input=stdin, capture_output=True,
                          timeout=TIMEOUT, check=False)


def read_safetensors(path):
    """Name to (shape, array) of the i32 and f32 tensors of a file."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    tensors = {}
    for name, tensor in header.items():
        code = {"I32": "i", "F32": "f"}.get(tensor.get("dtype"))
        if code:
            begin, end = tensor["data_offsets"]
            tensors[name] = (tensor["shape"], array.array(code, data[begin:end]))
    return tensors


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            mode = "wb" if isinstance(content, bytes) else "w"
            with open(path, mode) as file:
                file.write(content)
        return path


class BadInput(Files):
    def refused(self, code, words, *args, stdin=b""):
        done = facet(*args, stdin=stdin)
        error = done.stderr.decode()
        what = f"facet {' '.join(args)}: {error!r}"
        self.assertEqual(done.returncode, code, what)
        self.assertEqual(error.count("\n"), 1, what)
        self.assertTrue(error.startswith("facet"), what)
        self.assertEqual(done.stdout, b"", what)
        for word in words:
            self.assertIn(word, error, what)

    def test_unknown_verbs_and_flags(self):
        self.refused(2, ["nonsense", "--help"], "nonsense")
        for verb in ("serve", "worker", "chat", "generate", "logits",
                     "tokenize", "render", "plan", "version"):
            self.refused(2, [f"facet {verb}:", "--nonsense"], verb,
                         "--model", DENSE, "--coordinator", "127.0.0.1:1",
                         "--tokens", "x", "--out", "x", "--conversation", "x",
                         "--nonsense=1")

    def test_values_that_are_no_values(self):
        prompt = ["generate", "--model", DENSE, "--prompt=a"]
        self.refused(2, ["--max-tokens"], *prompt, "--max-tokens=ten")
        self.refused(2, ["--kv-memory", "512M"], *prompt, "--kv-memory=much")
        self.refused(2, ["--activations"], *prompt, "--activations=f16")
        self.refused(2, ["--numerics", "exact or fast"], *prompt,
                     "--numerics=quick")
        self.refused(2, ["--numerics=fast alone"], *prompt, "--numerics=fast",
                     "--activations=f32")
        self.refused(2, ["--device", "cpu"], *prompt, "--device=cuda")
        self.refused(2, ["--chunk"], *prompt, "--chunk=0")
        self.refused(2, ["--page-tokens", "32"], *prompt, "--page-tokens=16")
        self.refused(2, ["--threads"], *prompt, "--threads=-1")
        self.refused(2, ["temperature"], *prompt, "--temperature=-1")
        self.refused(2, ["top_p"], *prompt, "--top-p=0")
        self.refused(2, ["max_tokens"], *prompt, "--max-tokens=0")
        self.refused(2, ["chat"], *prompt, "--chat-format=modern")

    def test_missing_directory_and_config(self):
        for verb in (["generate", "--prompt=a"], ["serve"], ["plan"],
                     ["logits", "--tokens", self.path("in.json",
                                                      '{"prompts": [[1]]}'),
                      "--out", self.path("out")],
                     ["tokenize"], ["chat"]):
            self.refused(2, ["/no/such/model"], *verb, "--model",
                         "/no/such/model")
        empty = self.path("empty")
        os.mkdir(empty)
        self.refused(2, ["config.json"], "generate", "--prompt=a", "--model",
                     empty)
        self.refused(2, ["config.json"], "plan", "--model", empty)

    def test_impossible_plans(self):
        self.refused(2, ["--workers=3", "--tp=2"], "generate", "--model", DENSE,
                     "--prompt=a", "--workers=3", "--tp=2")
        self.refused(2, ["tp"], "plan", "--model", DENSE, "--tp=3")
        self.refused(2, ["pp"], "plan", "--model", DENSE, "--pp=100")
        self.refused(2, ["ep"], "plan", "--model", DENSE, "--tp=2", "--ep=2")
        self.refused(2, ["stage"], "plan", "--model", DENSE,
                     "--stage-layers=1,2")
        self.refused(2, ["cluster.json"], "plan", "--model", DENSE,
                     "--cluster", self.path("cluster.json", '{"tp": "two"}'))

    def test_a_broken_checkpoint_is_told_once_by_all_workers(self):
        model = self.path("broken")
        os.mkdir(model)
        for name in os.listdir(DENSE):
            if not name.endswith(".safetensors"):
                os.symlink(os.path.join(DENSE, name),
                           os.path.join(model, name))
                continue
            with open(os.path.join(DENSE, name), "rb") as file:
                data = bytearray(file.read())
            (header,) = struct.unpack("<Q", data[:8])
            for i in range(8 + header, len(data), 2):
                data[i:i + 2] = b"\xc0\x7f"  # NaN
            self.path(os.path.join("broken", name), bytes(data))
        for workers in ("1", "2"):
            self.refused(2, ["weight", "nan"], "generate", "--model", model,
                         "--prompt=a", "--check-weights", "--workers",
                         workers)

    def test_prompts(self):
        self.refused(2, ["--prompt"], "generate", "--model", DENSE)
        self.refused(2, ["prompt", "empty"], "generate", "--model", DENSE,
                     "--prompt=")
        self.refused(2, ["KV memory"], "generate", "--model", DENSE,
                     "--prompt=" + "long " * 500, "--kv-memory=1M",
                     "--chunk=32")
        done = subprocess.run(
            [FACET, "generate", "--model", DENSE, b"--prompt=\xff\xfe"],
            capture_output=True, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn(b"UTF-8", done.stderr)

    def test_token_files(self):
        cases = {
            "not json": ["not JSON"],
            "[[1]]": ["prompts"],
            '{"prompts": []}': ["no prompts"],
            '{"prompts": [[]]}': ["prompts[0]", "empty"],
            '{"prompts": [[1], "a"]}': ["prompts[1]"],
            '{"prompts": [[1, 2.5]]}': ["prompts[0][1]"],
            '{"prompts": [[1, 99999999999]]}': ["prompts[0][1]"],
            '{"prompts": [[1024]]}': ["1024", "out of range"],
            '{"prompts": [[-1]]}': ["-1", "out of range"],
            '{"prompts": [{"ids": [1], "images": ["a.png"]}]}': ["images"],
        }
        for content, words in cases.items():
            tokens = self.path("in.json", content)
            self.refused(2, words, "generate", "--model", DENSE, "--tokens",
                         tokens)
            self.refused(2, words, "logits", "--model", DENSE, "--tokens",
                         tokens, "--out", self.path("out.safetensors"))
        self.assertFalse(os.path.exists(self.path("out.safetensors")))
        self.refused(2, ["/no/such/in.json"], "generate", "--model", DENSE,
                     "--tokens=/no/such/in.json")

    def test_standard_input(self):
        tokenize = ["tokenize", "--model", DENSE]
        self.refused(2, ["not JSON"], *tokenize, stdin=b"hello")
        self.refused(2, ["array"], *tokenize, stdin=b'{"a": 1}')
        self.refused(2, ["stdin[0]"], *tokenize, stdin=b"[7]")
        self.refused(2, ["stdin"], *tokenize, stdin=b'["\xff"]')
        self.refused(2, ["stdin[0]"], *tokenize, "--decode", stdin=b"[[5000]]")

    def test_conversations(self):
        render = ["render", "--chat-format=current", "--conversation"]
        self.refused(2, ["c.json", "not JSON"], *render,
                     self.path("c.json", "{"))
        self.refused(2, ["UTF-8"], *render, self.path("c.json", b'{"a":"\xff"}'))
        self.refused(2, ["messages"], *render, self.path("c.json", "{}"))
        self.refused(2, ["deep"], *render, self.path("c.json", "[" * 9999 + "]" * 9999))

    def test_addresses(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.refused(1, ["--grpc", address], "serve", "--model", DENSE,
                         "--grpc", address)
            self.refused(1, ["--control", address], "serve", "--model", DENSE,
                         "--grpc=127.0.0.1:0", "--control", address,
                         "--workers=2")
        nobody = "127.0.0.1:%d" % free_port()
        self.refused(1, ["cannot reach coordinator", nobody], "worker",
                     "--coordinator", nobody, "--join-timeout=300ms")
        self.refused(2, ["HOST:PORT"], "worker", "--coordinator=nowhere")
        self.refused(2, ["--coordinator", "LWS_LEADER_ADDRESS"], "worker")
        self.refused(2, ["cuda:0", "--device=cuda"], "worker",
                     f"--coordinator={nobody}", "--device=cuda:0",
                     "--workers=2")
        self.refused(2, ["HOST:PORT"], "generate", "--server=nowhere",
                     "--prompt=a")

    def test_files_of_flags(self):
        wrong = self.path("wrong.toml", "kv-memori = \"1G\"\n")
        self.refused(2, ["--config", "kv-memori", "no flag"], "serve",
                     "--model", DENSE, f"--config={wrong}")
        self.refused(2, ["/no/such/file"], "serve", "--model", DENSE,
                     "--config=/no/such/file")
        # A value of the file counts, and the command line wins over it.
        few = self.path("few.toml", "max-queue = 0\nmax-sequences = 0\n")
        self.refused(2, ["--max-sequences"], "serve", "--model", DENSE,
                     f"--config={few}")
        self.refused(2, ["--max-queue"], "serve", "--model", DENSE,
                     f"--config={few}", "--max-sequences=1")


class Help(unittest.TestCase):
    def test_every_verb_explains_itself_with_an_example(self):
        overview = facet("--help")
        self.assertEqual(overview.returncode, 0)
        verbs = [line.split()[0] for line in overview.stdout.decode().split("\n")
                 if line.startswith("  ") and not line.startswith("  facet")]
        self.assertIn("serve", verbs)
        self.assertIn("logits", verbs)
        for verb in verbs:
            done = facet(verb, "--help")
            self.assertEqual(done.returncode, 0, verb)
            self.assertIn(f"facet {verb}", done.stdout.decode(), verb)
            self.assertIn("Examples:", done.stdout.decode(), verb)
        self.assertEqual(facet().returncode, 2)
        self.assertEqual(facet("version").returncode, 0)


class Answers(Files):
    def setUp(self):
        super().setUp()
        golden = read_safetensors(os.path.join(DENSE, "golden",
                                               "golden.safetensors"))
        self.prompts = [list(golden[f"p{i}.input_ids"][1]) for i in range(3)]
        self.greedy = [list(golden[f"p{i}.greedy.tokens"][1])
                       for i in range(3)]
        self.logits = [golden[f"p{i}.logits_f32"] for i in range(3)]
        self.tokens = self.path("in.json",
                                json.dumps({"prompts": self.prompts}))

    def generate(self, *args):
        done = facet("generate", "--json", "--ignore-eos", "--max-tokens=8",
                     *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test_greedy_tokens_are_those_of_the_reference(self):
        result = self.generate("--model", DENSE, "--tokens", self.tokens,
                               "--logprobs=2")
        for output, greedy in zip(result["outputs"], self.greedy):
            self.assertEqual(output["tokens"], greedy[:8])
            self.assertEqual(output["finish_reason"], "length")
            for token, detail in zip(output["tokens"], output["logprobs"]):
                self.assertEqual(detail["top"][0]["id"], token)
                self.assertEqual(detail["top"][0]["logprob"], detail["logprob"])
        self.assertEqual(result["usage"]["completion_tokens"], 24)
        self.assertEqual(result["usage"]["prompt_tokens"],
                         sum(map(len, self.prompts)))

    def test_the_stop_token_is_reported_and_not_shown(self):
        model = self.path("model")
        os.mkdir(model)
        for name in os.listdir(DENSE):
            if name != "generation_config.json":
                os.symlink(os.path.join(DENSE, name),
                           os.path.join(model, name))
        with open(os.path.join(model, "generation_config.json"), "w") as file:
            json.dump({"eos_token_id": self.greedy[0][2]}, file)
        done = facet("generate", "--json", "--model", model, "--tokens",
                     self.path("one.json",
                               json.dumps({"prompts": [self.prompts[0]]})))
        self.assertEqual(done.returncode, 0, done.stderr)
        (output,) = json.loads(done.stdout)["outputs"]
        self.assertEqual(output["tokens"], self.greedy[0][:3])
        self.assertEqual(output["finish_reason"], "stop")
        text = facet("tokenize", "--decode", "--skip-special", "--model", DENSE,
                     stdin=json.dumps([self.greedy[0][:2]]).encode())
        self.assertEqual([output["text"]], json.loads(text.stdout))

    def test_logits_are_the_same_bytes_however_the_model_is_cut(self):
        files = []
        for name, flags in {"one": [], "alone": ["--alone"],
                            "tp": ["--tp=2", "--chunk=5"],
                            "pp": ["--pp=2", "--page-tokens=64"]}.items():
            files.append(self.path(name))
            done = facet("logits", "--model", DENSE, "--tokens", self.tokens,
                         "--out", files[-1], *flags)
            self.assertEqual(done.returncode, 0, done.stderr)
        contents = []
        for path in files:
            with open(path, "rb") as file:
                contents.append(file.read())
        for path, content in zip(files, contents):
            self.assertEqual(content, contents[0], path)
        written = read_safetensors(files[0])
        for i, (shape, expected) in enumerate(self.logits):
            self.assertEqual(written[f"logits.{i}"][0], shape)
            worst = max(abs(a - b)
                        for a, b in zip(written[f"logits.{i}"][1], expected))
            self.assertLess(worst, 1e-3)

    def test_fast_numerics_are_rounded_inputs_on_processors_and_are_told(self):
        written = []
        for name, flag in (("rounded", "--activations=bf16"),
                           ("fast", "--numerics=fast")):
            path = self.path(name)
            done = facet("logits", "--model", DENSE, "--tokens", self.tokens,
                         "--out", path, flag)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path, "rb") as file:
                written.append(file.read())
        self.assertEqual(written[0], written[1])
        server = subprocess.Popen(
            [FACET, "serve", "--model", DENSE, "--workers=2",
             "--numerics=fast", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0",
             "--control=127.0.0.1:0", "--grace=1s"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.assertTrue(select.select([server.stdout], [], [], TIMEOUT)[0])
            http = server.stdout.readline().decode().split("http=")[1].split()[0]
            with urllib.request.urlopen(f"http://{http}/metrics",
                                        timeout=TIMEOUT) as answer:
                self.assertIn(b'numerics="fast"', answer.read())
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=TIMEOUT)
            self.assertEqual(server.returncode, 0, errors)
            self.assertRegex(errors, rb"numerics +fast: .*may depend on batch")
        finally:
            server.kill()

    def test_a_server_answers_as_the_model_itself_and_drains_on_sigterm(self):
        embedded = self.generate("--model", DENSE, "--tokens", self.tokens)
        server = subprocess.Popen(
            [FACET, "serve", "--model", DENSE, "--workers=2",
             "--http=127.0.0.1:0", "--vllm-metrics",
             "--grpc=127.0.0.1:0", "--control=127.0.0.1:0", "--grace=5s"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.assertTrue(select.select([server.stdout], [], [], TIMEOUT)[0])
            ready = server.stdout.readline().decode()
            self.assertTrue(ready.startswith("ready http="), ready)
            address = ready.split("grpc=")[1].split()[0]
            http = ready.split("http=")[1].split()[0]
            with urllib.request.urlopen(f"http://{http}/metrics",
                                        timeout=TIMEOUT) as answer:
                self.assertRegex(answer.read(),
                                 rb'kv_pages{.*state="free".*} [1-9]',
                                 "before anything was asked")
            served = self.generate("--server", address, "--tokens", self.tokens)
            self.assertEqual(served["outputs"], embedded["outputs"])
            bad = facet("generate", "--server", address, "--prompt=")
            self.assertEqual(bad.returncode, 2, bad.stderr)
            for path, expected in (("healthz", b"ok"), ("readyz", b"ok"),
                                   ("version", b'"version"'),
                                   ("metrics", b"\nfacet:build_info{"),
                                   ("metrics", b"\nvllm:kv_cache_usage_perc{")):
                with urllib.request.urlopen(f"http://{http}/{path}",
                                            timeout=TIMEOUT) as answer:
                    self.assertIn(expected, answer.read())
            server.send_signal(signal.SIGTERM)
            _, errors = server.communicate(timeout=TIMEOUT)
            self.assertEqual(server.returncode, 0, errors)
            self.assertRegex(errors, rb"numerics +exact: .*the same bits")
        finally:
            server.kill()

    def test_plan_tells_who_holds_what(self):
        done = facet("plan", "--model", MOE, "--workers=2", "--ep=2", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        plan = json.loads(done.stdout)
        self.assertEqual([rank["experts"] for rank in plan["ranks"]],
                         [[0, 8], [8, 16]])
        table = facet("plan", "--model", MOE, "--cluster",
                      self.path("c.json", '{"tp": 2, "ep": 2}'))
        self.assertEqual(table.returncode, 0, table.stderr)
        self.assertIn(b"K/V bytes per token", table.stdout)

    def test_render_adds_nothing(self):
        conversation = self.path("c.json", json.dumps(
            {"messages": [{"role": "user", "content": "Hi"}]}))
        done = facet("render", "--chat-format=current", "--conversation",
                     conversation)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            done.stdout.decode(),
            "<bos><|turn>user\nHi<turn|>\n<|turn>model\n"
            "<|channel>thought\n<channel|>")

    def test_chat_reads_lines_as_turns(self):
        done = facet("chat", "--model", DENSE, "--chat-format=current",
                     "--temperature=0", "--max-tokens=4",
                     stdin=b"Hello\nAgain\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr.count(b"tokens/s"), 2, done.stderr)

    def test_tokenize_and_back(self):
        text = ["Hello <bos> world", ""]
        done = facet("tokenize", "--model", DENSE,
                     stdin=json.dumps(text).encode())
        ids = json.loads(done.stdout)
        self.assertIn(2, ids[0])
        back = facet("tokenize", "--decode", "--model", DENSE,
                     stdin=json.dumps(ids).encode())
        self.assertEqual(json.loads(back.stdout), text)


class Terminal:
    """A facet command at a terminal of its own."""

    def __init__(self, *args, **environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(FACET, [FACET, *args],
                      dict(os.environ, TERM="xterm", **environment))
        self.seen = ""

    def until(self, text):
        """What was shown up to `text`."""
        while text not in self.seen:
            if not select.select([self.fd], [], [], TIMEOUT)[0]:
                raise AssertionError(f"not shown: {text!r}; {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended before {text!r}; {self.seen!r}")
            self.seen += data.decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        """The exit code."""
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


class ChatTest(Files):
    PROMPT = "\033[?2004h"  # keys are read from here on

    def chat(self, *args, **environment):
        terminal = Terminal("chat", "--model", DENSE, "--chat-format=current",
                            "--max-tokens=4", "--temperature=0", *args,
                            HOME=self.folder.name, **environment)
        terminal.until(self.PROMPT)
        return terminal

    def say(self, terminal, keys):
        terminal.type(keys)
        shown = terminal.until("tokens/s")
        terminal.until(self.PROMPT)
        return shown

    def test_a_conversation_is_edited_saved_and_remembered(self):
        saved = self.path("saved.json")
        chat = self.chat()
        self.say(chat, "Hellp\x7fo\r")
        self.say(chat, "one\033\rtwo\r")
        chat.type("line \\\r")
        chat.until(self.PROMPT)
        self.say(chat, "goes on\r")
        chat.type("/think\r")
        chat.until("thinking is on")
        chat.until(self.PROMPT)
        self.say(chat, "\033[A\033[A\033[A\r")
        chat.type(f"/save {saved}\r")
        chat.until("written")
        chat.type("/image /no/such/file\r")
        chat.until("/no/such/file")
        chat.type("/exit\r")
        self.assertEqual(chat.end(), 0)
        with open(saved) as file:
            messages = json.load(file)["messages"]
        said = [one["content"] for one in messages if one["role"] == "user"]
        self.assertEqual(said, ["Hello", "one\ntwo", "line \ngoes on",
                                "one\ntwo"])
        history = os.path.join(self.folder.name, ".local", "state", "facet",
                               "chat_history")
        self.assertEqual(os.stat(history).st_mode & 0o777, 0o600)
        # The next conversation remembers the last thing said.
        chat = self.chat()
        chat.type("\033[A")
        chat.until("/exit")
        chat.type("\003\003")
        self.assertEqual(chat.end(), 130)

    def test_colours_are_for_terminals_that_want_them(self):
        for environment, colored in (({}, True), ({"NO_COLOR": "1"}, False)):
            chat = self.chat(**environment)
            shown = self.say(chat, "Hello\r")
            self.assertEqual("\033[2m" in shown, colored)
            chat.type("\004")
            self.assertEqual(chat.end(), 0)
        done = facet("chat", "--model", DENSE, "--chat-format=current",
                     "--max-tokens=4", "--temperature=0", stdin=b"Hello\n")
        self.assertNotIn(b"\033", done.stdout + done.stderr)


class TopTest(unittest.TestCase):
    def test_a_server_is_shown_and_a_missing_one_told(self):
        server = subprocess.Popen(
            [FACET, "serve", "--model", DENSE, "--http=127.0.0.1:0",
             "--grpc=127.0.0.1:0", "--access-log=off"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(select.select([server.stdout], [], [], TIMEOUT)[0])
            ready = server.stdout.readline().decode()
            address = dict(word.split("=", 1)
                           for word in ready.split()[1:])["http"]
            done = facet("top", "--once", "--interval=200ms", "--server",
                         address)
            self.assertEqual(done.returncode, 0, done.stderr)
            for shown in (b"dense-tiny", b"running", b"first token", b" up"):
                self.assertIn(shown, done.stdout)
            self.assertNotIn(b"\033", done.stdout)
        finally:
            server.terminate()
            server.wait(60)
            server.stdout.close()
        done = facet("top", "--once", "--server", address)
        self.assertEqual(done.returncode, 1)
        self.assertIn(address.encode(), done.stderr)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
