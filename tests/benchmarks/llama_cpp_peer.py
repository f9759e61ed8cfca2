#!/usr/bin/env python3
"""Takes one figure of llama.cpp, through the pip package llama-cpp-python.

Usage: llama_cpp_peer.py MODEL.gguf THREADS REQUEST
       llama_cpp_peer.py --rpc-server PORT THREADS

REQUEST is the JSON of a condition (conditions.py). Prints one JSON object with
"value" and what ran, or with "unavailable" and why. Everything that matters is
llama.cpp's own default (flash attention where it can, mapped file, f16 keys and
values), save the window's cache, which its own programs size as here.
"""

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
import time

import llama_cpp
import numpy

import process
from prompts import random_prompt

_CONTEXT_STEP = 256  # contexts are multiples of it
_WARM_UP_PROMPT, _WARM_UP_TOKENS = 32, 4


class Model:
    """A model and one context of it."""

    def __init__(self, path, threads, sequences, context, remote=False):
        params = llama_cpp.llama_model_default_params()
        params.n_gpu_layers = 999 if remote else 0
        self._model = llama_cpp.llama_model_load_from_file(
            path.encode(), params)
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {path}")
        vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(vocab)

        each = -(-context // _CONTEXT_STEP) * _CONTEXT_STEP
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = each * sequences
        params.n_seq_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.swa_full = False
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp has no room for {params.n_ctx} "
                               "tokens of context")

    def batch(self, tokens):
        """Room for `tokens` tokens of a step."""
        return llama_cpp.llama_batch_init(tokens, 0, 1)

    def run(self, batch, rows):
        """One step over `rows` of (token, position, sequence, wants logits)."""
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i] = token
            batch.pos[i] = position
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = sequence
            batch.logits[i] = wanted
        status = llama_cpp.llama_decode(self._context, batch)
        if status != 0:
            raise RuntimeError(f"llama_decode returned {status}")
        llama_cpp.llama_synchronize(self._context)

    def best_token(self, row):
        logits = llama_cpp.llama_get_logits_ith(self._context, row)
        return int(numpy.argmax(
            numpy.ctypeslib.as_array(logits, shape=(self.vocabulary,))))

    def prefill(self, prompts):
        """Runs the prompts, returns the token that comes after each."""
        batch = self.batch(max(len(prompt) for prompt in prompts))
        following = []
        for sequence, prompt in enumerate(prompts):
            last = len(prompt) - 1
            self.run(batch, [(token, i, sequence, i == last)
                             for i, token in enumerate(prompt)])
            following.append(self.best_token(-1))
        llama_cpp.llama_batch_free(batch)
        return following

    def decode(self, tokens, position, steps):
        """Seconds of each of `steps` steps of all sequences."""
        batch = self.batch(len(tokens))
        seconds = []
        for step in range(steps):
            start = time.perf_counter()
            self.run(batch, [(token, position + step, sequence, True)
                             for sequence, token in enumerate(tokens)])
            tokens = [self.best_token(row) for row in range(len(tokens))]
            seconds.append(time.perf_counter() - start)
        llama_cpp.llama_batch_free(batch)
        return seconds

    def forget(self):
        memory = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_clear(memory, True)

    def warm_up(self):
        first = self.prefill(
            [random_prompt(_WARM_UP_PROMPT, self.vocabulary, seed=0)])
        self.decode(first, _WARM_UP_PROMPT, _WARM_UP_TOKENS)
        self.forget()


def measure_decode(path, threads, request, remote):
    sequences, prompt = request["sequences"], request["prompt"]
    steps = request["steps"]
    model = Model(path, threads, sequences,
                  max(prompt, _WARM_UP_PROMPT) + steps + 1, remote)
    model.warm_up()
    tokens = model.prefill([random_prompt(prompt, model.vocabulary, seed=i + 1)
                            for i in range(sequences)])
    seconds = model.decode(tokens, prompt, steps + 1)[1:]
    return {"value": sequences * steps / sum(seconds)}


def measure_prefill(path, threads, request, remote):
    tokens = request["tokens"]
    model = Model(path, threads, 1, tokens + _WARM_UP_TOKENS, remote)
    model.warm_up()
    prompt = random_prompt(tokens, model.vocabulary, seed=1)
    start = time.perf_counter()
    model.prefill([prompt])
    return {"value": tokens / (time.perf_counter() - start)}


def measure_start(path, threads, request, remote):
    if request["cold"]:
        process.drop_from_page_cache(path)
    start = time.perf_counter()
    llama_cpp.llama_backend_init()
    model = Model(path, threads, 1, _CONTEXT_STEP, remote)
    model.prefill([random_prompt(request["tokens"], model.vocabulary, seed=1)])
    return {"value": time.perf_counter() - start}


def measure_memory(path, threads, request, remote):
    before = process.memory()
    model = Model(path, threads, 1, _CONTEXT_STEP, remote)
    model.warm_up()
    after = process.memory()
    return {
        "value": after[request["which"]] - before[request["which"]],
    }


MEASURES = {
    "decode": measure_decode,
    "prefill": measure_prefill,
    "start": measure_start,
    "memory": measure_memory,
}


def _loaded_library(name):
    """The library that this process has already, whatever copy that is."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            path = line.split(maxsplit=5)[-1].rstrip()
            if os.path.basename(path).startswith(f"{name}.so"):
                return ctypes.CDLL(path)
    raise RuntimeError(f"llama.cpp did not load {name}")


class Rpc:
    """llama.cpp's own way over several workers; for those who asked for it when
    they built the package."""

    def __init__(self):
        self._ggml = _loaded_library("libggml")
        self._base = _loaded_library("libggml-base")
        by_name = self._ggml.ggml_backend_reg_by_name
        by_name.restype = ctypes.c_void_p
        self._registry = by_name(b"RPC")

    def available(self):
        return bool(self._registry)

    def _function(self, name, *arguments, result=None):
        find = self._base.ggml_backend_reg_get_proc_address
        find.restype = ctypes.c_void_p
        find.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        return ctypes.CFUNCTYPE(result, *arguments)(
            find(self._registry, name))

    def serve(self, port, threads):
        """Runs steps for whoever connects; does not return."""
        device = self._ggml.ggml_backend_dev_by_type
        device.restype = ctypes.c_void_p
        devices = (ctypes.c_void_p * 1)(device(0))  # 0: the CPU
        self._function(
            b"ggml_backend_rpc_start_server", ctypes.c_char_p, ctypes.c_char_p,
            ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)(
                f"127.0.0.1:{port}".encode(), None, threads, 1,
                ctypes.addressof(devices))

    def connect(self, port):
        server = self._function(
            b"ggml_backend_rpc_add_server", ctypes.c_char_p,
            result=ctypes.c_void_p)(f"127.0.0.1:{port}".encode())
        if not server:
            raise RuntimeError(f"no RPC server answers at port {port}")
        register = self._ggml.ggml_backend_register
        register.argtypes = [ctypes.c_void_p]
        register.restype = None
        register(server)


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(port, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"no RPC server at port {port} after {seconds} s")


@contextlib.contextmanager
def rpc_workers(rpc, count):
    """`count` servers of one thread each, connected to."""
    servers = []
    try:
        for _ in range(count):
            port = _free_port()
            servers.append(subprocess.Popen(
                [sys.executable, __file__, "--rpc-server", str(port), "1"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            _wait_for(port)
            rpc.connect(port)
        yield
    finally:
        for server in servers:
            server.kill()
            server.wait()


def instruction_sets():
    """Those that this build of llama.cpp uses."""
    info = llama_cpp.llama_print_system_info().decode()
    words = [part.split("=")[0].split(":")[-1].strip()
             for part in info.split("|") if part.strip().endswith("= 1")]
    return " ".join(word for word in words
                    if word.startswith(("AVX", "FMA", "AMX", "NEON", "SVE")))


def measure(path, threads, request):
    workers = request.get("workers", 1)
    run = MEASURES[request["kind"]]
    if workers == 1:
        answer = run(path, threads, request, remote=False)
    else:
        rpc = Rpc()
        if not rpc.available():
            return {"unavailable": "llama-cpp-python was built without RPC"}
        with rpc_workers(rpc, workers):
            answer = run(path, 1, request, remote=True)
    answer["version"] = f"llama-cpp-python {llama_cpp.__version__}"
    answer["isa"] = instruction_sets()
    return answer


def main():
    if sys.argv[1] == "--rpc-server":
        Rpc().serve(int(sys.argv[2]), int(sys.argv[3]))
        return
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    if "FACET_PEER_LOG" not in os.environ:
        llama_cpp.llama_log_set(silent, None)
    path, threads, request = sys.argv[1:]
    print(json.dumps(measure(path, int(threads), json.loads(request))),
          flush=True)
    # Without the destructors of a backend whose servers are gone.
    os._exit(0)


if __name__ == "__main__":
    main()
