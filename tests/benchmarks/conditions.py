"""What is measured, the same for every engine.

A condition's `request` is all that an engine is told:

    kind      decode, prefill, start or memory
    decode    `steps` steps of `sequences` sequences behind `prompt` tokens each
    prefill   one prompt of `tokens` tokens to the token that follows
    start     from nothing loaded to the token behind a prompt of `tokens`;
              `cold`: with the weights forgotten by the page cache
    memory    megabytes after a short prompt and four tokens; `which`: the
              most that was ever resident (peak) or what no file backs
              (anonymous)
    workers   processes of one thread each, 1 unless given
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Condition:
    key: str
    title: str
    unit: str
    more_is_better: bool
    request: dict
    busy: int = 0  # processes beside it that do nothing but want a CPU


def _rate(key, title, busy=0, **request):
    return Condition(key, title, "tokens/s", True, request, busy)


CONDITIONS = [
    _rate("decode-1", "decode, 1 sequence behind 512 tokens",
          kind="decode", sequences=1, prompt=512, steps=32),
    _rate("decode-8", "decode, 8 sequences behind 32 tokens each",
          kind="decode", sequences=8, prompt=32, steps=16),
    _rate("decode-32", "decode, 32 sequences behind 32 tokens each",
          kind="decode", sequences=32, prompt=32, steps=8),
    _rate("prefill-512", "prefill, 512 tokens", kind="prefill", tokens=512),
    _rate("prefill-2048", "prefill, 2048 tokens", kind="prefill", tokens=2048),
    Condition("start-warm", "start to first token, weights in the page cache",
              "s", False, dict(kind="start", tokens=4, cold=False)),
    Condition("start-cold", "start to first token, weights on disk",
              "s", False, dict(kind="start", tokens=4, cold=True)),
    Condition("memory-peak", "most memory resident", "MB", False,
              dict(kind="memory", which="peak")),
    Condition("memory-anonymous", "memory that no file backs", "MB", False,
              dict(kind="memory", which="anonymous")),
    _rate("decode-busy", "decode, 1 sequence beside two busy processes",
          busy=2, kind="decode", sequences=1, prompt=32, steps=16),
    _rate("workers-decode", "two workers of one thread: decode, 1 sequence",
          kind="decode", sequences=1, prompt=128, steps=32, workers=2),
    _rate("workers-prefill", "two workers of one thread: prefill, 512 tokens",
          kind="prefill", tokens=512, workers=2),
]
