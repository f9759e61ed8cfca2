"""The same products by PyTorch, that is by cuBLAS, on the same GPU.

One JSON object a line, in the words of gpu_benchmark. Weights are drawn, and
more copies of them than the card's cache holds take turns.
"""

import json
import statistics
import sys

try:
    import torch
except ImportError as error:
    print(json.dumps({"torch": "not here", "why": str(error)}))
    sys.exit(0)

SHAPES = [
    ("31B q, k, v", 16384, 5376),
    ("31B attention output", 5376, 8192),
    ("31B gate, up", 2 * 21504, 5376),
    ("31B down", 5376, 21504),
    ("31B head", 262144, 5376),
    ("26B-A4B q, k, v", 8192, 2816),
    ("26B-A4B gate, up", 2 * 2112, 2816),
]
ROTATED_BYTES = 768 << 20


def seconds_of(run, launches=8, batches=15):
    times = []
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for batch in range(batches + 2):
        begin.record()
        for i in range(launches):
            run(batch * launches + i)
        end.record()
        end.synchronize()
        if batch >= 2:
            times.append(begin.elapsed_time(end) / 1e3 / launches)
    return statistics.median(times)


def main():
    if not torch.cuda.is_available():
        print(json.dumps({"torch": torch.__version__, "why": "no GPU"}))
        return
    print(json.dumps({"torch": torch.__version__,
                      "device": torch.cuda.get_device_name(0)}))
    for name, n, k in SHAPES:
        copies = max(2, ROTATED_BYTES // (2 * n * k))
        weights = [torch.randn(n, k, dtype=torch.bfloat16, device="cuda")
                   for _ in range(copies)]
        for tokens in (1, 2, 4, 8, 16, 32):
            x = torch.randn(tokens, k, dtype=torch.bfloat16, device="cuda")
            seconds = seconds_of(
                lambda i: torch.nn.functional.linear(x, weights[i % copies]))
            print(json.dumps({
                "torch_kernel": f"{name}, tokens {tokens}",
                "us": round(seconds * 1e6, 2),
                "gb_per_s": round(2 * n * k / seconds / 1e9)}), flush=True)
        del weights


main()
