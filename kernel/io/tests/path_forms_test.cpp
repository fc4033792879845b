// Paths of driver images as people and tools write them.
#include "path_forms.h"

#include <gtest/gtest.h>

#include <string>

namespace io {
namespace {

std::u16string NtPath(const std::u16string& path) {
  const PathForm form = PathFormOf(path.data(), path.size());
  return form.prefix + path.substr(form.drop);
}

}  // namespace

TEST(PathForms, EachFormBecomesAnNtPath) {
  EXPECT_EQ(NtPath(u"C:\\x.sys"), u"\\??\\C:\\x.sys");
  EXPECT_EQ(NtPath(u"\\??\\C:\\x.sys"), u"\\??\\C:\\x.sys");
  EXPECT_EQ(NtPath(u"\\\\?\\C:\\x.sys"), u"\\??\\C:\\x.sys");
  EXPECT_EQ(NtPath(u"\\SystemRoot\\x.sys"), u"\\SystemRoot\\x.sys");
  EXPECT_EQ(NtPath(u"System32\\drivers\\x.sys"), u"\\SystemRoot\\System32\\drivers\\x.sys");
  EXPECT_EQ(NtPath(u"%SYSTEMROOT%\\x.sys"), u"\\SystemRoot\\x.sys");
  EXPECT_EQ(NtPath(u""), u"\\SystemRoot\\");
}

}  // namespace io
