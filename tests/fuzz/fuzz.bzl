"""Fuzz targets, each with a test that replays its corpus."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, deps):
    """NAME_fuzz for libFuzzer (--config=fuzz), NAME_replay_test for all builds.

    Args:
      name: of the target; its source is NAME_fuzz.cc, its corpus corpus/NAME
      deps: what the source includes
    """
    cc_library(
        name = name,
        srcs = [name + "_fuzz.cc"],
        deps = deps + [":fuzz_target"],
        alwayslink = 1,
    )
    cc_binary(
        name = name + "_fuzz",
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [":" + name],
    )
    cc_test(
        name = name + "_replay_test",
        size = "small",
        srcs = ["replay.cc"],
        args = ["tests/fuzz/corpus/" + name],
        data = native.glob(["corpus/" + name + "/*"]),
        deps = [
            ":" + name,
            ":fuzz_target",
        ],
    )
