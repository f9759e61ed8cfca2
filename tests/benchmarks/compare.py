#!/usr/bin/env python3
"""Compares Facet with other engines on one checkpoint and this machine.

    compare.py --facet=bazel-bin/rpc/cli/facet --synthetic=dense-1b
    compare.py --facet=FACET --model=DIR --conditions=decode-1,prefill-512

Each condition (conditions.py) is measured in rounds: every engine in turn, each
time in a process of its own, so that neighbours in time can be compared. What
came out goes to docs/plots/MODEL.json, condition by condition; what was there
of other conditions stays. Then report.py makes tables and plots of all that.
"""

import argparse
import datetime
import json
import os
import subprocess
import sys
import time

import checkpoint
import convert
import engines
import process
import report
from conditions import CONDITIONS

# More CPU pressure than this is not quiet.
_QUIET = 0.1

_REPOSITORY = os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
_DEFAULT_CACHE = os.path.join(
    os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")),
    "facet", "peers")


def say(what):
    print(f"compare: {what}", file=sys.stderr, flush=True)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facet", default=os.path.join(
        _REPOSITORY, "bazel-bin/rpc/cli/facet"), help="the command to measure")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument("--model", help="checkpoint directory")
    model.add_argument("--synthetic", metavar="PRESET",
                       help="random weights that `facet bench` writes once")
    parser.add_argument("--cache", default=_DEFAULT_CACHE,
                        help="where setup.sh put the peers; converted "
                        "checkpoints go there too")
    parser.add_argument("--threads", type=int,
                        default=len(os.sched_getaffinity(0)),
                        help="of each engine; default: all CPUs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=300,
                        help="seconds that an engine has for one figure")
    parser.add_argument("--patience", type=float, default=60,
                        help="seconds that each round waits for a quiet "
                        "machine before it begins anyway")
    parser.add_argument("--conditions", type=lambda text: text.split(","),
                        help="some of " + ",".join(c.key for c in CONDITIONS))
    parser.add_argument("--engines", type=lambda text: text.split(","),
                        help="some of those listed in the README")
    parser.add_argument("--out", default=os.path.join(
        _REPOSITORY, "docs/plots"), help="folder of results")
    parser.add_argument("--no-report", action="store_true",
                        help="leave tables and plots as they are")
    return parser.parse_args(arguments)


def chosen(everything, wanted, key):
    """Those of `everything` that are `wanted`, all if that is None."""
    if wanted is None:
        return everything
    known = [key(each) for each in everything]
    for name in wanted:
        if name not in known:
            sys.exit(f"compare: no {name!r}, expected some of "
                     f"{', '.join(known)}")
    return [each for each in everything if key(each) in wanted]


def synthetic_checkpoint(facet, preset, folder):
    directory = os.path.join(folder, "checkpoints", preset)
    if not os.path.exists(os.path.join(directory, "config.json")):
        os.makedirs(os.path.dirname(directory), exist_ok=True)
        subprocess.run([facet, "bench", f"--synthetic={preset}:{directory}",
                        "--only=collectives"], check=True,
                       stdout=subprocess.DEVNULL)
    return directory


def gguf_of(directory, cache):
    """The checkpoint for llama.cpp, converted if it is not there yet."""
    name = os.path.basename(os.path.normpath(directory))
    path = os.path.join(cache, "gguf", f"{name}.gguf")
    newest = max(map(os.path.getmtime, checkpoint.weight_files(directory)))
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        say(f"writing {path}")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        convert.convert(directory, path)
    return path


def all_engines(options, model):
    def python(environment):
        return os.path.join(options.cache, environment, "bin", "python")

    llama = python("llama_cpp")
    gguf = gguf_of(model, options.cache) if os.path.exists(llama) else ""
    transformers = python("transformers")
    run = (options.threads, options.timeout)
    return [
        engines.Facet("facet", options.facet, model, *run),
        engines.Peer("llama.cpp", llama, "llama_cpp_peer.py", gguf, *run),
        engines.Facet("facet bf16", options.facet, model, *run,
                      ["--activations=bf16", "--kv-format=bf16"]),
        # Loading takes it far longer than what is measured, hence once.
        engines.Peer("transformers bf16", transformers, "transformers_peer.py",
                     model, *run, ["bfloat16"], rounds=1),
        engines.Peer("transformers f32", transformers, "transformers_peer.py",
                     model, *run, ["float32"], rounds=1),
    ]


def measure(condition, chosen_engines, rounds, patience=0):
    """(rounds, {engine: why it was skipped}) of one condition."""
    taken, skipped = [], {}
    for index in range(rounds):
        answers = {}
        process.wait_for_quiet(_QUIET, patience)
        for engine in chosen_engines:
            if engine.name in skipped or index >= (engine.rounds or rounds):
                continue
            try:
                answers[engine.name] = engines.take(
                    engine, condition, time.monotonic)
                say(f"{condition.key}, round {index + 1}, {engine.name}: "
                    f"{answers[engine.name]['value']:.4g} {condition.unit}")
            except engines.Unavailable as why:
                skipped[engine.name] = str(why)
                say(f"{condition.key}: skipping {engine.name}: {why}")
        taken.append(answers)
    return taken, skipped


def _limits_of(conditions):
    """{name: all values} of the machine's limits in all rounds."""
    limits = {}
    for condition in conditions:
        for taken in condition["rounds"]:
            for answer in taken.values():
                for side in ("limits", "limits_after"):
                    for name, value in answer.get(side, {}).items():
                        limits.setdefault(name, []).append(value)
    return limits


def _engines_of(conditions, listed):
    """What each engine said of itself the last time it ran."""
    described = {entry["name"]: entry for entry in listed}
    for condition in conditions:
        for taken in condition["rounds"]:
            for name, answer in taken.items():
                described[name].update(version=answer["version"],
                                       isa=answer["isa"])
    return list(described.values())


def merged(old, options, name, chosen_engines, condition, taken, skipped):
    """`old`, the results so far, with those of one more condition."""
    done = {entry["key"]: entry for entry in old.get("conditions", [])}
    done[condition.key] = {
        "key": condition.key, "title": condition.title,
        "unit": condition.unit, "more_is_better": condition.more_is_better,
        "request": condition.request, "busy": condition.busy,
        "rounds": taken, "skipped": skipped,
    }
    conditions = [done[each.key] for each in CONDITIONS if each.key in done]
    listed = old.get("engines", [])
    known = [entry["name"] for entry in listed]
    listed += [{"name": engine.name, "ours": engine.ours, "version": "",
                "isa": ""}
               for engine in chosen_engines if engine.name not in known]
    cpus = [answer["cpu"] for condition in conditions
            for answers in condition["rounds"] for answer in answers.values()
            if "cpu" in answer]
    return {
        "model": name,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime(
            "%Y-%m-%d"),
        "cpu": cpus[-1] if cpus else "unknown",
        "cpus": os.cpu_count(),
        "threads": options.threads,
        "rounds": max(len(entry["rounds"]) for entry in conditions),
        "limits": _limits_of(conditions),
        "engines": _engines_of(conditions, listed),
        "conditions": conditions,
    }


def main(arguments):
    options = parse_arguments(arguments)
    options.cache = os.path.abspath(options.cache)
    wanted = chosen(CONDITIONS, options.conditions, lambda each: each.key)
    model = options.model or synthetic_checkpoint(
        options.facet, options.synthetic, options.cache)
    chosen_engines = chosen(all_engines(options, model), options.engines,
                            lambda each: each.name)
    name = os.path.basename(os.path.normpath(model))
    path = os.path.join(options.out, f"{name}.json")
    os.makedirs(options.out, exist_ok=True)
    result = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            result = json.load(file)

    for file in checkpoint.weight_files(model):
        process.read_through(file)
    for condition in wanted:
        taken, skipped = measure(condition, chosen_engines, options.rounds,
                                 options.patience)
        result = merged(result, options, name, chosen_engines, condition,
                        taken, skipped)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    if not options.no_report:
        report.write(_REPOSITORY)


if __name__ == "__main__":
    main(sys.argv[1:])
