"""One operation's library: contract, reference, and a file per instruction set."""

load("@rules_cc//cc:defs.bzl", "cc_library")

_ISA_COPTS = {
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx512bf16": ["-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"],
}

def kernel_library(name, srcs, hdrs, isa_srcs, private_hdrs = [], deps = [], **kwargs):
    """A cc_library whose `isa_srcs` are compiled per instruction set.

    Args:
      name: the operation.
      srcs: contract checks, dispatch and the reference.
      hdrs: the contract.
      isa_srcs: instruction set to files; each file is compiled for that set alone.
      private_hdrs: loops that the variants share.
      deps: as in cc_library.
      **kwargs: passed to the library.
    """
    native.cc_library(
        name = name + "_headers",
        hdrs = hdrs + private_hdrs,
        visibility = ["//kernels:__subpackages__"],
        deps = deps,
    )
    for isa, files in isa_srcs.items():
        native.cc_library(
            name = name + "_" + isa,
            srcs = files,
            # GCC 12 warns inside its own intrinsics headers.
            copts = _ISA_COPTS[isa] + ["-O3", "-Wno-maybe-uninitialized", "-Wno-uninitialized"],
            deps = [":" + name + "_headers"],
        )
    cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs + private_hdrs,
        deps = deps + [":" + name + "_" + isa for isa in isa_srcs],
        **kwargs
    )
