// Debian's gRPC, protobuf, abseil and OpenSSL are not built for
// ThreadSanitizer, so what happens inside them looks like races; these are not.
extern "C" const char* __tsan_default_suppressions() {
  return "called_from_lib:libgrpc.so\ncalled_from_lib:libgrpc++.so\n"
         "called_from_lib:libgpr.so\ncalled_from_lib:libprotobuf.so\n"
         "race:libgrpc\nrace:libgpr\nrace:libabsl_\nrace:libupb\n"
         "race:libprotobuf\nrace:libcrypto\nrace:libssl\n"
         // The part of gRPC that its headers bring reads what the library
         // wrote.
         "race:^grpc::internal::CallOp\n";
}
