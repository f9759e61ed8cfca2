"""Kernels in CUDA: built for devices with --config=cuda, and for the host always."""

load("@bazel_skylib//rules:common_settings.bzl", "BuildSettingInfo")
load("@local_cuda//:info.bzl", "CUDA_HOME", "HAVE_CUDA")
load("@rules_cc//cc:defs.bzl", "cc_library")

# Machine code for these; see kernels/cuda/architectures.cc.
ARCHITECTURES = [
    "80",
    "90a",
    "100",
]

# Intermediate code that drivers translate for devices to come.
NEWEST_INTERMEDIATE = "100"

def _cuda_objects_impl(ctx):
    if not HAVE_CUDA:
        fail("--config=cuda needs the CUDA toolkit: there is no " + CUDA_HOME +
             "/bin/nvcc; set CUDA_HOME by --repo_env=CUDA_HOME=...")
    contexts = [d[CcInfo].compilation_context for d in ctx.attr.deps]
    headers = depset(ctx.files.hdrs, transitive = [c.headers for c in contexts])
    args = [
        "-ccbin=/usr/bin/g++",
        "-std=c++20",
        "-O3",
        "-lineinfo",
        # A quarter of the size; unpacked once, when a process starts.
        "-compress-mode=size",
        "--expt-relaxed-constexpr",
        # Every fused multiply-add is written out, as on processors.
        "-fmad=false",
        "-Xcompiler=-fPIC,-Wall,-ffp-contract=off",
        "-DFACET_CUDA=cuda",
        "--threads=1",
    ]
    only = ctx.attr._only_architecture[BuildSettingInfo].value
    for arch in [only] if only else ARCHITECTURES:
        args.append("-gencode=arch=compute_%s,code=sm_%s" % (arch, arch))
    if not only:
        args.append("-gencode=arch=compute_%s,code=compute_%s" %
                    (NEWEST_INTERMEDIATE, NEWEST_INTERMEDIATE))
    args += ["-I.", "-I" + ctx.bin_dir.path, "-I" + ctx.genfiles_dir.path]
    for c in contexts:
        for i in c.includes.to_list() + c.quote_includes.to_list() + c.system_includes.to_list():
            if not i.startswith("external/local_cuda"):  # nvcc brings its own
                args.append("-I" + i)
    objects = []
    for src in ctx.files.srcs:
        out = ctx.actions.declare_file("%s_objs/%s.pic.o" % (ctx.label.name, src.basename[:-3]))
        ctx.actions.run(
            executable = CUDA_HOME + "/bin/nvcc",
            arguments = args + ["-c", src.path, "-o", out.path],
            inputs = depset([src], transitive = [headers]),
            outputs = [out],
            mnemonic = "NvccCompile",
            env = {"PATH": CUDA_HOME + "/bin:/usr/bin:/bin", "TMPDIR": "/tmp"},
        )
        objects.append(out)
    return [DefaultInfo(files = depset(objects))]

_cuda_objects = rule(
    implementation = _cuda_objects_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".cu"]),
        "hdrs": attr.label_list(allow_files = True),
        "deps": attr.label_list(providers = [CcInfo]),
        "_only_architecture": attr.label(
            default = "//kernels/cuda:only_architecture",
        ),
    },
)

NEEDS_CUDA = select({
    "//:cuda_enabled": [],
    "//conditions:default": ["@platforms//:incompatible"],
})

def cuda_kernels(name, srcs, hdrs = [], deps = [], visibility = ["//kernels:__subpackages__"]):
    """`name`_cuda for devices, and `name`_emulated, the same kernels on the host.

    Args:
      name: of the operation.
      srcs: .cu files.
      hdrs: what only they include.
      deps: as in cc_library.
      visibility: of both.
    """
    _cuda_objects(
        name = name + "_cuda_objects",
        srcs = srcs,
        hdrs = hdrs,
        deps = deps + ["@local_cuda//:headers"],
        target_compatible_with = NEEDS_CUDA,
    )
    cc_library(
        name = name + "_cuda",
        srcs = [":" + name + "_cuda_objects"],
        deps = deps + ["@local_cuda//:cudart"],
        target_compatible_with = NEEDS_CUDA,
        visibility = visibility,
    )
    cc_library(
        name = name + "_emulated",
        testonly = True,
        srcs = srcs + hdrs,
        copts = ["-xc++", "-DFACET_CUDA=emulated", "-O2", "-Wno-unknown-pragmas"],
        deps = deps + ["//kernels/cuda:emulator"],
        visibility = visibility,
    )

def cuda_and_emulated(name, srcs, hdrs, deps, both = [], cuda_deps = [], emulated_deps = [], emulated_srcs = None, visibility = None):
    """Host code around kernels: `name`_cuda for devices, `name`_emulated for the host.

    Args:
      name: of the library.
      srcs: files of both, or of the first where there are emulated_srcs.
      hdrs: of both.
      deps: of both.
      both: names of libraries that come as _cuda and _emulated themselves.
      cuda_deps: of the first alone.
      emulated_deps: of the second alone.
      emulated_srcs: of the second.
      visibility: of both.
    """
    cc_library(
        name = name + "_cuda",
        srcs = srcs,
        hdrs = hdrs,
        copts = ["-DFACET_CUDA=cuda"],
        target_compatible_with = NEEDS_CUDA,
        deps = deps + cuda_deps + [b + "_cuda" for b in both],
        visibility = visibility,
    )
    cc_library(
        name = name + "_emulated",
        testonly = True,
        srcs = emulated_srcs or srcs,
        hdrs = hdrs,
        copts = ["-DFACET_CUDA=emulated"],
        deps = deps + emulated_deps + [b + "_emulated" for b in both],
        visibility = visibility,
    )
