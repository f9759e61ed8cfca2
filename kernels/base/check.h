// CHECK for what only a bug of ours can cause: prints the condition and aborts.
// Whatever a user, a file or a peer can cause is an absl::Status instead.
#ifndef FACET_KERNELS_BASE_CHECK_H_
#define FACET_KERNELS_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

#define FACET_CHECK(condition)                                              \
  do {                                                                      \
    if (!(condition)) {                                                     \
      std::fprintf(stderr, "%s:%d: bug in facet: %s\n", __FILE__, __LINE__, \
                   #condition);                                             \
      std::abort();                                                         \
    }                                                                       \
  } while (false)

#ifdef NDEBUG
#define FACET_DCHECK(condition) \
  do {                          \
  } while (false && (condition))
#else
#define FACET_DCHECK(condition) FACET_CHECK(condition)
#endif

#endif  // FACET_KERNELS_BASE_CHECK_H_
