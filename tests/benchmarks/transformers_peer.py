#!/usr/bin/env python3
"""Takes one figure of Hugging Face transformers on torch.

Usage: transformers_peer.py CHECKPOINT_DIRECTORY THREADS REQUEST [DTYPE]

REQUEST is the JSON of a condition (conditions.py), DTYPE bfloat16 or float32.
Prints one JSON object with "value" and what ran, or with "unavailable" and why.
"""

import json
import os
import sys
import time

import torch
import transformers

import checkpoint
import process
from prompts import random_prompt

_WARM_UP_PROMPT, _WARM_UP_TOKENS = 32, 4


class Model:
    def __init__(self, directory, dtype):
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=getattr(torch, dtype)).eval()
        self.vocabulary = self._model.config.get_text_config().vocab_size

    def prompts(self, count, tokens):
        return torch.tensor([random_prompt(tokens, self.vocabulary, seed=i + 1)
                             for i in range(count)])

    def step(self, tokens, cache=None):
        """The token that follows each row, and the keys and values so far."""
        out = self._model(input_ids=tokens, past_key_values=cache,
                          use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values

    def warm_up(self):
        tokens, cache = self.step(self.prompts(1, _WARM_UP_PROMPT))
        for _ in range(_WARM_UP_TOKENS):
            tokens, cache = self.step(tokens, cache)


def measure_decode(directory, dtype, request):
    model = Model(directory, dtype)
    model.warm_up()
    tokens, cache = model.step(
        model.prompts(request["sequences"], request["prompt"]))
    tokens, cache = model.step(tokens, cache)
    start = time.perf_counter()
    for _ in range(request["steps"]):
        tokens, cache = model.step(tokens, cache)
    seconds = time.perf_counter() - start
    return {"value": request["sequences"] * request["steps"] / seconds}


def measure_prefill(directory, dtype, request):
    model = Model(directory, dtype)
    model.warm_up()
    prompt = model.prompts(1, request["tokens"])
    start = time.perf_counter()
    model.step(prompt)
    return {"value": request["tokens"] / (time.perf_counter() - start)}


def measure_start(directory, dtype, request):
    if request["cold"]:
        for path in checkpoint.weight_files(directory):
            process.drop_from_page_cache(path)
    start = time.perf_counter()
    model = Model(directory, dtype)
    model.step(model.prompts(1, request["tokens"]))
    return {"value": time.perf_counter() - start}


def measure_memory(directory, dtype, request):
    before = process.memory()
    Model(directory, dtype).warm_up()
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


def missing_memory(directory, dtype):
    """Why the weights do not fit beside what else runs here, or None. Weights
    that nobody has room for would take other processes with them."""
    weights = sum(map(os.path.getsize, checkpoint.weight_files(directory)))
    needed = weights * (2 if dtype == "float32" else 1)
    available = process.available_memory()
    if needed < 0.8 * available:
        return None
    return (f"{needed / 1e9:.1f} GB of weights, {available / 1e9:.1f} GB of "
            "memory left")


def main():
    directory, threads, request = sys.argv[1:4]
    dtype = sys.argv[4] if len(sys.argv) > 4 else "bfloat16"
    request = json.loads(request)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(int(threads))
    short = missing_memory(directory, dtype)
    if request.get("workers", 1) > 1:
        answer = {"unavailable": "transformers has no workers on CPUs"}
    elif short:
        answer = {"unavailable": short}
    else:
        with torch.inference_mode():
            answer = MEASURES[request["kind"]](directory, dtype, request)
    answer["version"] = (f"transformers {transformers.__version__}, "
                         f"torch {torch.__version__}")
    answer["isa"] = torch.backends.cpu.get_cpu_capability()
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
