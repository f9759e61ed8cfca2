// A library with the names of cuBLAS and none of its work: every function gives
// a number of its own. VERSION and WITHOUT_GEMM make others of it.
extern "C" {

int cublasGetProperty(int property, int* value) {
  *value = property == 0 ? VERSION / 100 : VERSION % 100;
  return 0;
}
int cublasCreate_v2(void*) { return 101; }
int cublasDestroy_v2(void*) { return 102; }
int cublasSetStream_v2(void*, void*) { return 103; }
int cublasSetWorkspace_v2(void*, void*, unsigned long) { return 104; }
int cublasSetMathMode(void*, int) { return 105; }
#ifndef WITHOUT_GEMM
int cublasGemmEx(void*, int, int, int, int, int, const void*, const void*, int,
                 int, const void*, int, int, const void*, void*, int, int, int,
                 int) {
  return 106;
}
#endif
const char* cublasGetStatusName(int) { return "stand-in"; }

}  // extern "C"
