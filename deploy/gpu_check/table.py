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


def launches(results):
    return [f"| {o['launch']} | {o['us']:.2f} | {o['calls_changed']} "
            f"| {o['refused']} |"
            for step in ("launches", "messages")
            for o in lines_of(results / f"{step}.txt") if "launch" in o]


STEPS = ("model-31b", "model-26b-a4b", "model-31b-bf16", "model-26b-a4b-alone",
         "model-26b-a4b-unfetched", "slice-31b")


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


def main():
    results = pathlib.Path(sys.argv[1])
    print("| kernel | us | GB/s | of a copy | of a read | PyTorch, us |")
    print("|---|---|---|---|---|---|")
    print("\n".join(kernels(results)))
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
