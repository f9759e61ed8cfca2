"""Puts the figures of a check side by side: table.py RESULTS > table.md."""

import json
import pathlib
import re
import sys


def lines_of(path):
    """The JSON objects of a file; other lines are for people."""
    if not path.exists():
        return
    for line in path.read_text(errors="replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def name_of(kernel):
    """Without the shape, as the other side names it."""
    return re.sub(r" \[\d+, \d+\]", "", kernel)


def kernels(results):
    torch = {o["torch_kernel"]: o for o in lines_of(results / "torch.txt")
             if "torch_kernel" in o}
    seen = set()
    rows = []
    for step in ("launches", "products", "experts", "attention"):
        for o in lines_of(results / f"{step}.txt"):
            if "kernel" not in o or o["kernel"] in seen:
                continue
            seen.add(o["kernel"])
            other = torch.get(name_of(o["kernel"]))
            rows.append(
                f"| {o['kernel']} | {o['us']:.1f} | {o['gb_per_s']:.0f} "
                f"| {100 * o['of_copy']:.0f} % | {100 * o['of_read']:.0f} % "
                f"| {'' if other is None else format(other['us'], '.1f')} |")
    return rows


def prompts(results):
    return [f"| {o['prompt_kernel']} | {o['us']:.0f} | {o['tflop_per_s']:.0f} "
            f"| {100 * o['of_gemm']:.0f} % |"
            for o in lines_of(results / "prompts.txt") if "prompt_kernel" in o]


def launches(results):
    return [f"| {o['launch']} | {o['us']:.2f} | {o['calls_changed']} "
            f"| {o['refused']} |"
            for step in ("launches", "messages")
            for o in lines_of(results / f"{step}.txt") if "launch" in o]


STEPS = ("model-31b", "model-26b-a4b", "model-31b-fast", "model-26b-a4b-fast",
         "model-31b-bf16", "model-26b-a4b-alone", "model-26b-a4b-unfetched",
         "slice-31b")

# Operations of a token of a prompt of 4096, in 1e9: two for each weight but the
# head's, and four for each value of a key that a query sees.
GFLOP = {"model-31b-fast": 58.6 + 2.8, "model-26b-a4b-fast": 6.17 + 0.70}


def report_of(path):
    """The report of `facet bench --json`, behind what it said on the way."""
    text = path.read_text(errors="replace") if path.exists() else ""
    begin = text.find("{\n")
    try:
        return json.JSONDecoder().raw_decode(text[begin:])[0] if begin >= 0 else {}
    except ValueError:
        return {}


def steps(results):
    rows = []
    for step in STEPS:
        for o in report_of(results / f"{step}.txt").get("figures", []):
            if o["name"] == "tokens_per_s":
                rows.append(f"| {step} | {o['group']} | {o['median']:.1f} "
                            f"| {o['min']:.1f} to {o['max']:.1f} |")
    return rows


def of_gemm(results):
    """Prompts of whole models, beside the best product of the same card."""
    best = [o["tflop_per_s"] for o in lines_of(results / "prompts.txt")
            if o.get("prompt_kernel", "").startswith("cuBLAS")]
    rows = []
    for step, gflop in GFLOP.items():
        for o in report_of(results / f"{step}.txt").get("figures", []):
            if o["name"] != "tokens_per_s":
                continue
            rate = o["median"] * gflop / 1e3
            share = f"{100 * rate / best[0]:.0f} %" if best else ""
            rows.append(f"| {step} | {o['group']} | {rate:.0f} | {share} |")
    return rows


def main():
    results = pathlib.Path(sys.argv[1])
    print("| kernel | us | GB/s | of a copy | of a read | PyTorch, us |")
    print("|---|---|---|---|---|---|")
    print("\n".join(kernels(results)))
    print("\n| a prompt's kernel | us | TFLOP/s | of cuBLAS' best |")
    print("|---|---|---|---|")
    print("\n".join(prompts(results)))
    print("\n| a model's prompt of 4096 | | TFLOP/s | of cuBLAS' best |")
    print("|---|---|---|---|")
    print("\n".join(of_gemm(results)))
    print("\n| a kernel that does nothing | us | calls changed | refused |")
    print("|---|---|---|---|")
    print("\n".join(launches(results)))
    print("\n| steps | | tokens/s | |")
    print("|---|---|---|---|")
    print("\n".join(steps(results)))
    for o in lines_of(results / "transformers.txt"):
        print(f"\ntransformers: {json.dumps(o)}")
    print("\n```")
    summary = results / "summary.txt"
    print(summary.read_text().strip() if summary.exists() else "no summary")
    print("```")


main()
