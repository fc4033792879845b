/* The table of small functions with __try, __except and __finally; each writes down the order of its events.
 */
#ifndef SEH_CASES_H
#define SEH_CASES_H

#include <ntifs.h>

#ifdef __cplusplus
extern "C" {
#endif

struct SehLog {
  char text[80];
  unsigned length;
};

struct SehCase {
  const char* name;
  void (*run)(struct SehLog* log);
  const char* expected;
};

extern const struct SehCase kSehCases[];
extern const unsigned kSehCaseCount;

#ifdef __cplusplus
}
#endif
#endif
