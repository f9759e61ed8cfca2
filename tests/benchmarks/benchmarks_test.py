#!/usr/bin/python3
"""The parts of the comparison that can be wrong without any engine: statistics,
tables, plots, converted checkpoints, and that the page says what was measured.
"""

import os
import struct
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ElementTree

sys.path.insert(0, os.path.abspath("tests/benchmarks"))

import checkpoint
import compare
import convert
import engines
import figures
import gguf_file
import process
import report
import svg
from conditions import CONDITIONS

GOLDEN = os.path.abspath("tests/testdata/golden")


def read_gguf(path):
    """(pairs, {name: (type, shape, bytes)}) of a GGUF file, by the format's
    description and not by what wrote it."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0

    def take(layout):
        nonlocal at
        values = struct.unpack_from("<" + layout, data, at)
        at += struct.calcsize("<" + layout)
        return values[0] if len(values) == 1 else values

    def string():
        nonlocal at
        size = take("Q")
        at += size
        return data[at - size:at].decode("utf-8")

    def value(kind):
        if kind == 8:
            return string()
        if kind == 9:
            inner, count = take("IQ")
            return [value(inner) for _ in range(count)]
        return take({4: "I", 5: "i", 6: "f", 7: "?"}[kind])

    magic, version, tensor_count, pair_count = take("4sIQQ")
    assert (magic, version) == (b"GGUF", 3)
    pairs = {}
    for _ in range(pair_count):
        key = string()
        pairs[key] = value(take("I"))
    entries = []
    for _ in range(tensor_count):
        name = string()
        shape = [take("Q") for _ in range(take("I"))]
        entries.append((name, shape, *take("IQ")))
    start = (at + 31) // 32 * 32
    tensors = {}
    for name, shape, kind, offset in entries:
        assert offset % 32 == 0
        size = {0: 4, 30: 2}[kind]
        for extent in shape:
            size *= extent
        begin = start + offset
        tensors[name] = (kind, shape, data[begin:begin + size])
    return pairs, tensors


class GgufTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "out.gguf")

    def converted(self, model):
        directory = os.path.join(GOLDEN, model)
        convert.convert(directory, self.path)
        return directory, *read_gguf(self.path)

    def test_pairs_and_tensors_come_back_as_written(self):
        gguf_file.write(self.path, [
            ("a.string", gguf_file.STRING, "é"),
            ("a.flag", gguf_file.BOOL, True),
            ("numbers", gguf_file.INT32, [-1, 2]),
            ("words", gguf_file.STRING, ["", "x"]),
        ], [
            gguf_file.TensorEntry("odd", gguf_file.BF16, (1, 3), b"abcdef"),
            gguf_file.TensorEntry("next", gguf_file.F32, (2,),
                                  lambda: b"12345678"),
        ])
        pairs, tensors = read_gguf(self.path)
        self.assertEqual(pairs, {"a.string": "é", "a.flag": True,
                                 "numbers": [-1, 2], "words": ["", "x"]})
        self.assertEqual(tensors, {"odd": (30, [3, 1], b"abcdef"),
                                   "next": (0, [2], b"12345678")})

    def test_refuses_a_tensor_with_fewer_bytes_than_its_shape(self):
        with self.assertRaisesRegex(ValueError, "odd: 4 bytes, expected 6"):
            gguf_file.write(self.path, [], [gguf_file.TensorEntry(
                "odd", gguf_file.BF16, (3,), b"abcd")])

    def test_every_text_tensor_of_every_shape_is_there_bit_for_bit(self):
        for model in "dense-tiny", "moe-tiny", "e2b-tiny":
            directory, _, tensors = self.converted(model)
            originals = list(checkpoint.tensors(directory))
            self.assertEqual(len(tensors), len(originals) + 1, model)
            for original in originals:
                kind, shape, data = tensors[convert.gguf_name(original.name)]
                self.assertEqual(tuple(reversed(shape)), original.shape)
                expected = bytes(original.data)
                if kind == gguf_file.F32:
                    expected = b"".join(
                        b"\0\0" + expected[i:i + 2]
                        for i in range(0, len(expected), 2))
                self.assertEqual(data, expected, original.name)

    def test_matrices_stay_bf16_and_the_router_becomes_f32(self):
        _, _, tensors = self.converted("moe-tiny")
        self.assertEqual(tensors["blk.0.ffn_gate_inp.weight"][0], gguf_file.F32)
        self.assertEqual(tensors["blk.0.attn_norm.weight"][0], gguf_file.F32)
        self.assertEqual(tensors["blk.0.ffn_gate_up_exps.weight"][0],
                         gguf_file.BF16)

    def test_model_is_described_as_its_config_says(self):
        directory, pairs, _ = self.converted("e2b-tiny")
        config = checkpoint.text_config(directory)
        self.assertEqual(pairs["general.architecture"], "gemma4")
        self.assertEqual(pairs["gemma4.block_count"],
                         config["num_hidden_layers"])
        self.assertEqual(len(pairs["gemma4.attention.sliding_window_pattern"]),
                         config["num_hidden_layers"])
        self.assertEqual(len(pairs["tokenizer.ggml.tokens"]),
                         config["vocab_size"])
        widths = pairs["gemma4.feed_forward_length"]
        self.assertEqual(widths[0], config["intermediate_size"])
        self.assertEqual(widths[-1], 2 * config["intermediate_size"])

    def test_tensors_of_other_models_in_the_checkpoint_are_left_out(self):
        self.assertIsNone(convert.gguf_name("model.vision_tower.x.weight"))
        self.assertEqual(
            convert.gguf_name("model.language_model.layers.3.router.scale"),
            "blk.3.ffn_gate_inp.scale")


ROUNDS = [
    {"facet": {"value": 10.0, "limit": 12.5, "cpu_pressure": 0.5},
     "peer": {"value": 5.0}},
    {"facet": {"value": 12.0, "limit": 12.0}, "peer": {"value": 8.0}},
    {"facet": {"value": 8.0, "limit": 10.0}},
]


class FiguresTest(unittest.TestCase):
    def test_ratios_are_of_neighbours_and_above_one_where_ours_is_better(self):
        self.assertEqual(figures.ratios(ROUNDS, "facet", "peer", True),
                         [2.0, 1.5])
        self.assertEqual(figures.ratios(ROUNDS, "facet", "peer", False),
                         [0.5, 8.0 / 12.0])

    def test_spread_is_median_least_and_greatest(self):
        self.assertEqual(figures.spread([3.0, 1.0, 2.0]), (2.0, 1.0, 3.0))

    def test_fractions_are_of_the_limit_in_the_same_round(self):
        self.assertEqual(figures.fractions(ROUNDS, "peer", "facet"),
                         [0.4, 8.0 / 12.0])

    def test_the_best_peer_is_the_fastest_or_the_smallest(self):
        rounds = [{"a": {"value": 1.0}, "b": {"value": 2.0}}]
        self.assertEqual(figures.best_peer(rounds, ["a", "b", "c"], True), "b")
        self.assertEqual(figures.best_peer(rounds, ["a", "b"], False), "a")
        self.assertIsNone(figures.best_peer(rounds, ["c"], True))


def result():
    return {
        "model": "tiny", "date": "2026-01-02", "cpu": "a CPU", "cpus": 2,
        "threads": 2, "rounds": 3, "limits": {"matvec": [20.0, 30.0]},
        "engines": [
            {"name": "facet", "ours": True, "version": "facet", "isa": "avx2"},
            {"name": "peer", "ours": False, "version": "peer 1", "isa": "AVX2"},
            {"name": "gone", "ours": False, "version": "", "isa": ""},
        ],
        "conditions": [{
            "key": "decode-1", "title": "decode", "unit": "tokens/s",
            "more_is_better": True, "rounds": ROUNDS,
            "skipped": {"gone": "not installed"},
        }],
    }


class ReportTest(unittest.TestCase):
    def test_a_row_holds_medians_fractions_ratios_and_pressure(self):
        self.assertEqual(report.table(result()).splitlines()[2],
                         "| decode, tokens/s | 10 (80 %) | 6.5 (53 %) | "
                         "1.75 x peer (1.50 .. 2.00) | 50 % |")

    def test_an_engine_that_measured_nothing_has_a_line_and_no_column(self):
        self.assertNotIn("gone", report.table(result()))
        self.assertIn("- gone, all: not measured, not installed",
                      report.section(result()))

    def test_only_what_stands_between_the_markers_changes(self):
        page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        self.assertEqual(
            report.with_part(page, "new"),
            f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n")
        with self.assertRaises(ValueError):
            report.with_part("no markers", "new")

    def test_the_page_and_its_plots_are_what_the_results_give(self):
        results = report.read_results("docs/plots")
        charts = report.plots(results)
        with open("docs/performance.md", encoding="utf-8") as file:
            page = file.read()
        self.assertEqual(
            page, report.with_part(page, report.page_part(results, charts)),
            "run tests/benchmarks/report.py")
        for key, chart in charts.items():
            with open(f"docs/plots/{key}.svg", encoding="utf-8") as file:
                self.assertEqual(file.read(), chart, key)


class SvgTest(unittest.TestCase):
    def test_bars_are_as_long_as_their_values(self):
        pair = [svg.Bar("x", 2.0, 2.0, 2.0), svg.Bar("y", 1.0, 1.0, 1.0)]
        chart = ElementTree.fromstring(
            svg.bar_chart("a < b", "s", [("model", pair)]))
        bars = [float(bar.get("width"))
                for bar in chart.iter("{http://www.w3.org/2000/svg}rect")][1:]
        self.assertEqual(bars[0], 2 * bars[1])

    def test_everything_lies_inside_the_picture(self):
        bars = [svg.Bar("x", 1.0, 0.5, 3.0, 4.0)]
        chart = ElementTree.fromstring(
            svg.bar_chart("t", "s", [("m", bars), ("n", bars)]))
        width, height = float(chart.get("width")), float(chart.get("height"))
        for element in chart.iter():
            for name in "x", "x1", "x2":
                self.assertLessEqual(float(element.get(name, 0)), width)
            for name in "y", "y1", "y2":
                self.assertLessEqual(float(element.get(name, 0)), height)

    def test_numbers_have_three_figures_that_count(self):
        values = 2405.4, 10.68, 0.2049, 0.031
        self.assertEqual([svg.number(value) for value in values],
                         ["2405", "10.7", "0.205", "0.031"])


class FakeEngine:
    ours = True
    rounds = None

    def __init__(self, name, values):
        self.name = name
        self._values = iter(values)

    def measure(self, request):
        value = next(self._values)
        if value is None:
            raise engines.Unavailable("no such thing")
        return {"value": value, "version": "1", "isa": "none"}


class CompareTest(unittest.TestCase):
    def test_engines_take_turns_and_one_that_cannot_is_asked_once(self):
        taken, skipped = compare.measure(
            CONDITIONS[0],
            [FakeEngine("a", [1.0, 2.0]), FakeEngine("b", [None])], rounds=2)
        self.assertEqual([round["a"]["value"] for round in taken], [1.0, 2.0])
        self.assertEqual(skipped, {"b": "no such thing"})

    def test_a_peer_that_is_not_installed_is_skipped(self):
        peer = engines.Peer("peer", "/nonexistent", "llama_cpp_peer.py", "m", 1,
                            timeout=60)
        with self.assertRaisesRegex(engines.Unavailable, "setup.sh"):
            peer.measure(CONDITIONS[0].request)

    def test_an_engine_that_does_not_end_is_ended_with_what_it_started(self):
        with self.assertRaisesRegex(engines.Unavailable, "within 0.2 s"):
            engines.run(["/bin/sh", "-c", "sleep 1000 & wait"], timeout=0.2)

    def test_what_an_engine_says_last_is_why_it_is_skipped(self):
        with self.assertRaisesRegex(engines.Unavailable, "^no such thing$"):
            engines.run(["/bin/sh", "-c", "echo no such thing >&2; exit 2"],
                        timeout=60)

    def test_a_busy_machine_is_waited_for_no_longer_than_asked(self):
        started = time.monotonic()
        process.wait_for_quiet(pressure=-1, patience=0.1, pause=0.05)
        self.assertGreaterEqual(time.monotonic() - started, 0.1)

    def test_results_of_other_conditions_stay(self):
        options = compare.parse_arguments(["--model=m"])
        fake = [FakeEngine("a", [])]
        answer = [{"a": {"value": 1.0, "version": "1", "isa": "none",
                         "limits": {"read": 9.0}}}]
        first = compare.merged({}, options, "m", fake, CONDITIONS[1], answer,
                               {})
        both = compare.merged(first, options, "m", fake, CONDITIONS[0], answer,
                              {})
        self.assertEqual([each["key"] for each in both["conditions"]],
                         [CONDITIONS[0].key, CONDITIONS[1].key])
        self.assertEqual(both["limits"], {"read": [9.0, 9.0]})

    def test_every_condition_is_asked_of_facet_and_has_a_name_of_its_own(self):
        keys = [condition.key for condition in CONDITIONS]
        self.assertEqual(len(keys), len(set(keys)))
        for condition in CONDITIONS:
            self.assertTrue(engines.facet_arguments(condition.request))
            self.assertEqual(len(engines.facet_figure(condition.request)), 2)

    def test_decode_flags_mean_the_steps_that_were_asked_for(self):
        self.assertEqual(
            engines.facet_arguments(dict(kind="decode", sequences=8, prompt=32,
                                         steps=16)),
            ["--only=concurrency", "--batch=8", "--batch-prompt=32",
             "--decode=64"])

    def test_busy_processes_end_with_the_measurement(self):
        with engines.BusyProcesses(2) as _:
            pass
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def test_memory_is_that_of_this_process(self):
        used = process.memory()
        self.assertGreater(used["peak"], used["anonymous"])
        self.assertGreater(used["anonymous"], 0)
        self.assertGreater(process.available_memory(), 0)


if __name__ == "__main__":
    unittest.main()
