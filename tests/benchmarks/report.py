#!/usr/bin/env python3
"""Makes the tables and plots of docs/performance.md from measured results.

Usage: report.py [REPOSITORY]

Reads docs/plots/*.json, as compare.py writes them; writes docs/plots/*.svg and
what stands between the two markers in docs/performance.md.
"""

import glob
import json
import os
import sys

import figures
import svg
from svg import number

BEGIN = "<!-- made by tests/benchmarks/report.py: begin -->"
END = "<!-- made by tests/benchmarks/report.py: end -->"


def _names(result, ours):
    return [engine["name"] for engine in result["engines"]
            if engine["ours"] == ours]


def _measured(result):
    """Names of the engines that measured anything, ours first."""
    return [name for name in _names(result, True) + _names(result, False)
            if any(figures.values_of(condition["rounds"], name)
                   for condition in result["conditions"])]


def _value_cell(condition, engine, limited):
    values = figures.values_of(condition["rounds"], engine)
    if not values:
        return "-"
    cell = number(figures.spread(values)[0])
    fractions = figures.fractions(condition["rounds"], engine, limited)
    if fractions:
        cell += f" ({100 * figures.spread(fractions)[0]:.0f} %)"
    return cell


def _ratio_cell(condition, ours, peers):
    more = condition["more_is_better"]
    peer = figures.best_peer(condition["rounds"], peers, more)
    if peer is None:
        return "-"
    ratios = figures.ratios(condition["rounds"], ours, peer, more)
    if not ratios:
        return "-"
    median, low, high = figures.spread(ratios)
    cell = f"{median:.2f} x {peer}"
    return cell if len(ratios) == 1 else f"{cell} ({low:.2f} .. {high:.2f})"


def _pressure_cell(condition):
    values = [answer["cpu_pressure"] for taken in condition["rounds"]
              for answer in taken.values() if "cpu_pressure" in answer]
    return f"{100 * figures.spread(values)[0]:.0f} %" if values else "-"


def _row(cells):
    return "| " + " | ".join(cells) + " |"


def table(result):
    ours = [name for name in _names(result, True) if name in _measured(result)]
    peers = _names(result, False)
    columns = _measured(result)
    lines = [
        _row(["figure"] + columns + [f"{name} against the best peer"
                                     for name in ours] + ["CPU pressure"]),
        _row(["---"] * (2 + len(columns) + len(ours))),
    ]
    for condition in result["conditions"]:
        if not any(condition["rounds"]):
            continue
        lines.append(_row(
            [f"{condition['title']}, {condition['unit']}"]
            + [_value_cell(condition, name, ours[0]) for name in columns]
            + [_ratio_cell(condition, name, peers) for name in ours]
            + [_pressure_cell(condition)]))
    return "\n".join(lines)


def _range(values, unit):
    return f"{number(min(values))} to {number(max(values))} {unit}"


def limits_line(result):
    units = {"read": "GB/s", "matvec": "GB/s", "f32_fma": "GFLOP/s",
             "bf16_dot": "GFLOP/s"}
    parts = [f"{name} {_range(result['limits'][name], unit)}"
             for name, unit in units.items() if result["limits"].get(name)]
    return "Limits, before and after each of Facet's: " + ", ".join(parts) + "."


def engines_lines(result):
    measured = _measured(result)
    return [f"- **{engine['name']}**: {engine['version']}, {engine['isa']}"
            for engine in result["engines"] if engine["name"] in measured]


def skipped_lines(result):
    """One line for each engine and reason, with the conditions it holds for."""
    reasons = {}
    for condition in result["conditions"]:
        for engine, reason in condition["skipped"].items():
            reasons.setdefault((engine, reason), []).append(condition["key"])
    every = len(result["conditions"])
    return [f"- {engine}, {'all' if len(keys) == every else ', '.join(keys)}: "
            f"not measured, {reason}"
            for (engine, reason), keys in reasons.items()]


def section(result):
    """The part of the page on one model."""
    head = (f"**{result['model']}**, {result['date']}; {result['cpu']}, "
            f"CPUs: {result['cpus']}, threads of each engine: "
            f"{result['threads']}, rounds: {result['rounds']}.")
    if any(result["limits"].values()):
        head += "\n" + limits_line(result)
    lines = engines_lines(result) + skipped_lines(result)
    return "\n\n".join([head, "\n".join(lines), table(result)])


def _bars(condition, result):
    ours = [name for name in _measured(result)
            if name in _names(result, True)]
    bars = []
    for engine in _measured(result):
        values = figures.values_of(condition["rounds"], engine)
        if not values:
            continue
        limits = figures.values_of(condition["rounds"], ours[0], "limit")
        limit = figures.spread(limits)[0] if limits else 0
        bars.append(svg.Bar(engine, *figures.spread(values),
                            limit if engine == ours[0] else 0))
    return bars


def plots(results):
    """{key of a condition: its plot}, over all models."""
    charts = {}
    for result in results:
        for condition in result["conditions"]:
            bars = _bars(condition, result)
            if bars:
                chart = charts.setdefault(
                    condition["key"],
                    (condition["title"], condition["unit"], []))
                chart[2].append((result["model"], bars))
    return {key: svg.bar_chart(*chart) for key, chart in charts.items()}


def page_part(results, keys):
    """All that stands between the markers."""
    images = [f"![{key}](plots/{key}.svg)" for key in keys]
    return "\n\n".join([section(result) for result in results]
                       + ["\n".join(images)])


def with_part(page, part):
    """`page` with `part` between its markers."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no lines \"{BEGIN}\" and \"{END}\"")
    before, rest = page.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def read_results(folder):
    results = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            results.append(json.load(file))
    return results


def write(repository):
    folder = os.path.join(repository, "docs", "plots")
    results = read_results(folder)
    charts = plots(results)
    for key, chart in charts.items():
        with open(os.path.join(folder, f"{key}.svg"), "w",
                  encoding="utf-8") as file:
            file.write(chart)
    path = os.path.join(repository, "docs", "performance.md")
    with open(path, encoding="utf-8") as file:
        page = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(with_part(page, page_part(results, charts)))


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    write(sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../.."))
