#!/usr/bin/python3
"""Dashboards, alerts and autoscaling ask for metrics that Facet has, by labels
that these have, in a way that fits their type.

docs/metrics.md lists every metric, and a test of rpc/metrics holds it to the
code.
"""

import json
import os
import re
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
sys.path.insert(0, HERE)

import yaml  # noqa: E402  (the path has to be there first)

COMPONENTS = os.path.join(ROOT, "deploy", "kubernetes", "components")
DASHBOARD = os.path.join(COMPONENTS, "monitoring", "dashboard.json")
ALERTS = os.path.join(COMPONENTS, "monitoring", "alerts.yaml")
# What Prometheus and the operator add to every series.
TARGET_LABELS = {"namespace", "pod", "model_name", "le"}


def documented():
    """Name to (type, labels), from the table of docs/metrics.md."""
    metrics = {}
    path = os.path.join(ROOT, "docs", "metrics.md")
    with open(path, encoding="utf-8") as file:
        for line in file:
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) < 6 or not re.fullmatch(r"`[a-z0-9_]+`", cells[1]):
                continue
            metrics[cells[1].strip("`")] = (
                cells[2], set(re.findall(r"`([a-z_]+)`", cells[3])))
    return metrics


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def alerts():
    (group,) = yaml.safe_load(read(ALERTS))["spec"]["groups"]
    return group["rules"]


def panels():
    return [panel for panel in json.loads(read(DASHBOARD))["panels"]
            if panel["type"] != "row"]


def expressions():
    """(where, PromQL) of everything that we ship."""
    found = [(f"alert {rule['alert']}", rule["expr"]) for rule in alerts()]
    found += [(f"panel {panel['title']}", target["expr"])
              for panel in panels() for target in panel["targets"]]
    return found


def problems(expression, metrics):
    """What is wrong with the metrics that one expression names."""
    found = []
    labels_of_all = set()
    for name in re.findall(r"facet:([a-z0-9_]+)", expression):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = metrics.get(name, (None,))[0]
        if kind is None and metrics.get(base, (None,))[0] == "histogram":
            kind, name = "part of a histogram", base
        if kind is None:
            found.append(f"there is no metric facet:{name}")
            continue
        if kind == "histogram":
            found.append(
                f"facet:{name} is a histogram: _bucket, _sum or _count")
        labels_of_all |= metrics[name][1]
        rated = re.search(rf"rate\(facet:{name}", expression) is not None
        if kind == "counter" and not rated:
            found.append(f"facet:{name} is a counter: rate() of it")
        if kind == "gauge" and rated:
            found.append(f"facet:{name} is a gauge: no rate() of it")
    used = set(re.findall(r"([a-z_]+)=~?\"", expression))
    for names in re.findall(r"by \(([a-z_, ]+)\)", expression):
        used |= {name.strip() for name in names.split(",")}
    for label in used - labels_of_all - TARGET_LABELS - {"job"}:
        found.append(f"no metric here has the label {label}")
    return found


class Monitoring(unittest.TestCase):
    def test_every_expression_asks_for_what_facet_measures(self):
        metrics = documented()
        self.assertGreater(len(metrics), 20)
        for where, expression in expressions():
            self.assertEqual(problems(expression, metrics), [], where)

    def test_wrong_names_labels_and_uses_would_be_noticed(self):
        metrics = documented()
        for expression in ("facet:requests_waiting",
                           "facet:num_preemptions_total",
                           "rate(facet:num_requests_waiting[5m])",
                           "facet:e2e_request_latency_seconds",
                           'rate(facet:requests_refused_total{why="x"}[5m])',
                           "sum by (stage) (facet:worker_up)"):
            self.assertNotEqual(problems(expression, metrics), [], expression)

    def test_the_autoscaler_asks_for_what_the_adapter_makes(self):
        folder = os.path.join(COMPONENTS, "autoscaling")
        scaler = yaml.safe_load(read(os.path.join(folder, "autoscaler.yaml")))
        (rule,) = yaml.safe_load(read(os.path.join(
            folder, "prometheus-adapter.yaml")))["rules"]["custom"]
        self.assertEqual(scaler["spec"]["metrics"][0]["pods"]["metric"]["name"],
                         rule["name"]["as"])
        (name,) = re.findall(r'__name__="facet:([a-z0-9_]+)"',
                             rule["seriesQuery"])
        self.assertEqual(documented()[name][0], "gauge")

    def test_every_alert_says_how_bad_what_it_is_and_what_to_do(self):
        runbook = read(os.path.join(ROOT, "deploy", "README.md"))
        for rule in alerts():
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
            self.assertTrue(rule["annotations"]["summary"])
            self.assertIn("for", rule)
            self.assertIn(f"**{rule['alert']}**", runbook)

    def test_panels_have_a_place_of_their_own(self):
        taken = set()
        for panel in json.loads(read(DASHBOARD))["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_the_gateway_s_picker_finds_the_gauges_it_looks_for(self):
        metrics = documented()
        for name in ("num_requests_waiting", "num_requests_running",
                     "kv_cache_usage_perc", "cache_config_info"):
            self.assertIn(name, metrics)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
