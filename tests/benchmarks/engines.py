"""The engines that are compared: each measures one condition in a process of
its own and says what came out."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading

import conditions
import process

_HERE = os.path.dirname(os.path.abspath(__file__))


class Unavailable(Exception):
    """This engine cannot run this condition; the message says why."""


def facet_arguments(request):
    """The flags of `facet bench` for the request of a condition."""
    workers = request.get("workers", 1)
    flags = [f"--workers={workers}"] if workers > 1 else []
    kind = request["kind"]
    if kind == "decode" and request["sequences"] == 1:
        return flags + ["--only=decode", "--batch=1",
                        f"--prompt={request['prompt']}",
                        f"--decode={request['steps']}"]
    if kind == "decode":
        # Above one sequence it takes a quarter of --decode steps.
        return flags + ["--only=concurrency",
                        f"--batch={request['sequences']}",
                        f"--batch-prompt={request['prompt']}",
                        f"--decode={4 * request['steps']}"]
    if kind == "prefill":
        return flags + ["--only=prefill", f"--prompt={request['tokens']}"]
    if kind == "start":
        return flags + ["--only=load"] + (
            ["--cold"] if request["cold"] else [])
    return flags + ["--only=memory"]


def facet_figure(request):
    """(group, name) of the figure that answers the request."""
    kind = request["kind"]
    if kind == "decode" and request["sequences"] == 1:
        return "decode", "tokens_per_s"
    if kind == "decode":
        return f"concurrency {request['sequences']}", "tokens_per_s"
    if kind == "prefill":
        return f"prefill {request['tokens']}", "tokens_per_s"
    if kind == "start":
        return "load", "first_token"
    return "memory", "anonymous"


# A peer that fails shall end at once and not call a debugger.
_ENVIRONMENT = {**os.environ, "GGML_NO_BACKTRACE": "1"}


def run(command, timeout):
    """(standard output, most bytes resident) of a command that is ended, with
    all that it started, after `timeout` seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=out, stderr=errors,
                                 env=_ENVIRONMENT, start_new_session=True)
        timer = threading.Timer(
            timeout, lambda: os.killpg(child.pid, signal.SIGKILL))
        timer.start()
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode == -signal.SIGKILL:
            raise Unavailable(f"no result within {timeout:g} s")
        out.seek(0)
        errors.seek(0)
        if child.returncode != 0:
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise Unavailable(said[-1] if said else
                              f"ended with {child.returncode}")
        return out.read().decode(), usage.ru_maxrss * 1024


class Facet:
    ours = True
    rounds = None  # all

    def __init__(self, name, binary, model, threads, timeout, flags=()):
        self.name = name
        self._timeout = timeout
        self._command = [binary, "bench", f"--model={model}", "--json",
                         "--repeat=1", *flags]
        self._threads = threads

    def measure(self, request):
        threads = 1 if request.get("workers", 1) > 1 else self._threads
        out, peak_bytes = run(self._command + facet_arguments(request)
                               + [f"--threads={threads}"], self._timeout)
        report = json.loads(out)
        figures = {(figure["group"], figure["name"]): figure
                   for figure in report["figures"]}
        figure = figures[facet_figure(request)]
        answer = {
            "value": figure["median"],
            "limit": figure.get("limit"),
            "limits": {name: value["median"]
                       for (group, name), value in figures.items()
                       if group == "limits before"},
            "limits_after": {name: value["median"]
                             for (group, name), value in figures.items()
                             if group == "limits after"},
            "version": "facet",
            "isa": report["setting"]["isa"],
            "cpu": report["setting"]["cpu"],
        }
        if request["kind"] == "memory" and request["which"] == "peak":
            answer["value"] = peak_bytes / 1e6
            answer["limit"] = figures["memory", "pss"].get("limit")
        return answer


class Peer:
    ours = False

    def __init__(self, name, python, script, model, threads, timeout,
                 arguments=(), rounds=None):
        self.name = name
        self._timeout = timeout
        self.rounds = rounds
        self._python = python
        self._start = [python, os.path.join(_HERE, script), model, str(threads)]
        self._end = list(arguments)

    def measure(self, request):
        if not os.path.exists(self._python):
            raise Unavailable(f"not installed: no {self._python}; "
                              "tests/benchmarks/setup.sh installs it")
        out, _ = run(self._start + [json.dumps(request)] + self._end,
                      self._timeout)
        answer = json.loads(out.splitlines()[-1])
        if "unavailable" in answer:
            raise Unavailable(answer["unavailable"])
        return answer


class BusyProcesses:
    """Processes that want a CPU each, for as long as a `with` lasts."""

    def __init__(self, count):
        self._count = count
        self._children = []

    def __enter__(self):
        self._children = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"])
            for _ in range(self._count)]

    def __exit__(self, *_):
        for child in self._children:
            child.kill()
            child.wait()


def take(engine, condition: conditions.Condition, clock):
    """What the engine measures under the condition, with the part of the time
    in which some thread waited for a CPU."""
    pressure, start = process.cpu_pressure_seconds(), clock()
    with BusyProcesses(condition.busy):
        answer = engine.measure(condition.request)
    if pressure is not None:
        waited = process.cpu_pressure_seconds() - pressure
        answer["cpu_pressure"] = waited / (clock() - start)
    return answer
