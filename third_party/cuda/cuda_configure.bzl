"""The CUDA toolkit of this machine as a repository, or an empty stand-in."""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = glob(["include/**"], exclude = ["include/cccl/**"]),
    includes = ["include"],
)

cc_library(
    name = "cudart",
    linkopts = ["-L{root}/lib64", "-lcudart_static", "-ldl", "-lrt", "-lpthread"],
    deps = [":headers"],
)
"""

_EMPTY = """
package(default_visibility = ["//visibility:public"])

cc_library(name = "headers")

cc_library(name = "cudart")
"""

def _impl(ctx):
    root = ctx.os.environ.get("CUDA_HOME", "/usr/local/cuda")
    found = ctx.path(root + "/bin/nvcc").exists
    if found:
        ctx.symlink(root + "/include", "include")
    ctx.file("BUILD", _BUILD.replace("{root}", root) if found else _EMPTY)
    ctx.file("info.bzl", "CUDA_HOME = %r\nHAVE_CUDA = %r\n" % (root, found))

cuda_configure = repository_rule(
    implementation = _impl,
    environ = ["CUDA_HOME"],
    local = True,
)
