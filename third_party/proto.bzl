"""C++ and gRPC code from a .proto, by Debian's protoc."""

def cc_grpc_library(name, src, deps = [], proto_deps = [], **kwargs):
    """A cc_library with the messages and services of one .proto file."""
    base = src[:-len(".proto")]
    outs = [base + s for s in [".pb.h", ".pb.cc", ".grpc.pb.h", ".grpc.pb.cc"]]
    native.genrule(
        name = name + "_gen",
        srcs = [src] + proto_deps,
        outs = outs,
        cmd = "/usr/bin/protoc -I. -I/usr/include " +
              "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin " +
              "--cpp_out=$(GENDIR) --grpc_out=$(GENDIR) $(location %s)" % src,
    )
    native.cc_library(
        name = name,
        srcs = [o for o in outs if o.endswith(".cc")],
        hdrs = [o for o in outs if o.endswith(".h")],
        copts = ["-Wno-unused-parameter"],
        deps = deps + ["@grpc"],
        **kwargs
    )
