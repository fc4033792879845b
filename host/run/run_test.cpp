// Units, paths, sc.exe's layout, driver checks.
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "run/bugcheck_names.h"
#include "run/driver_check.h"
#include "run/nt_status.h"
#include "run/paths.h"
#include "run/run_report.h"
#include "run/services.h"
#include "run/units.h"

namespace run {
namespace {

namespace fs = std::filesystem;

TEST(Units, DurationsAndSizes) {
  EXPECT_EQ(ParseDuration("30s")->count(), 30000);
  EXPECT_EQ(ParseDuration("1.5s")->count(), 1500);
  EXPECT_EQ(ParseDuration("250ms")->count(), 250);
  EXPECT_EQ(ParseDuration("2m")->count(), 120000);
  EXPECT_EQ(ParseDuration("7")->count(), 7000);
  for (const char* bad : {"", "s", "-1s", "5 s", "5x", "1e99s", "nan", "inf"})
    EXPECT_FALSE(ParseDuration(bad)) << bad;
  EXPECT_EQ(*ParseSize("256M"), 256u << 20);
  EXPECT_EQ(*ParseSize("1G"), 1u << 30);
  EXPECT_EQ(*ParseSize("64"), 64u << 20);
  EXPECT_EQ(*ParseSize("131072K"), 128u << 20);
  for (const char* bad : {"", "M", "-1M", "12Q", "1e99G", "plenty"}) EXPECT_FALSE(ParseSize(bad)) << bad;
}

TEST(Status, NamesAndWin32Errors) {
  EXPECT_EQ(StatusText(static_cast<int32_t>(0xC0000034)), "0xC0000034 STATUS_OBJECT_NAME_NOT_FOUND");
  EXPECT_EQ(StatusText(static_cast<int32_t>(0xC1234567)), "0xC1234567");
  EXPECT_EQ(Win32ErrorOf(static_cast<int32_t>(0xC0000034)).code, 2u);
  EXPECT_EQ(Win32ErrorOf(static_cast<int32_t>(0xC1234567)).code, 31u);
}

TEST(Bugchecks, KnownAndUnknown) {
  ASSERT_NE(FindBugcheck(0xD1), nullptr);
  EXPECT_STREQ(FindBugcheck(0xD1)->name, "DRIVER_IRQL_NOT_LESS_OR_EQUAL");
  EXPECT_EQ(FindBugcheck(0xFFFFFFFE), nullptr);
  EXPECT_EQ(BugcheckTitle(0xE2), "0xE2 MANUALLY_INITIATED_CRASH");
}

class Drive : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/run_test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Drive, StandardFoldersAreMadeAndFoundInAnyCase) {
  fs::create_directories(folder_ + "/WINDOWS/system32");
  ASSERT_TRUE(PrepareDriveC(folder_));
  EXPECT_TRUE(fs::is_directory(folder_ + "/WINDOWS/system32/drivers"));
  EXPECT_FALSE(fs::exists(folder_ + "/Windows"));
  EXPECT_EQ(HostPath(folder_, "C:\\Windows\\System32\\Drivers\\x.sys"),
            folder_ + "/WINDOWS/system32/drivers/x.sys");
  EXPECT_EQ(HostPath(folder_, "\\SystemRoot\\x"), folder_ + "/WINDOWS/x");
  EXPECT_EQ(HostPath(folder_, "\\??\\c:\\new.txt"), folder_ + "/new.txt");
}

TEST_F(Drive, PathsCannotLeaveTheFolder) {
  EXPECT_EQ(HostPath(folder_, "C:\\..\\etc"), "");
  EXPECT_EQ(HostPath(folder_, "C:\\a\\..\\..\\etc"), "");
  EXPECT_EQ(HostPath(folder_, "D:\\x"), "");
  EXPECT_EQ(HostPath(folder_, "relative"), "");
}

TEST_F(Drive, DriversThatAreNoneAreToldApart) {
  const auto check = [&](const std::string& bytes, const char* says) {
    const std::string path = folder_ + "/x.sys";
    std::ofstream(path, std::ios::binary) << bytes;
    DriverProblem problem;
    EXPECT_EQ(CheckDriver(path, problem), DriverFile::kRefused);
    EXPECT_NE(problem.message.find(says), std::string::npos) << problem.message;
    EXPECT_LT(problem.status, 0);
  };
  check("", "MZ");
  check("#!/bin/sh\n", "MZ");
  check("MZ", "not a whole PE image");
  DriverProblem problem;
  EXPECT_EQ(CheckDriver(folder_ + "/absent.sys", problem), DriverFile::kUnreadable);
  EXPECT_NE(problem.message.find("absent.sys"), std::string::npos);
}

TEST(Sc, BlocksLookLikeScExe) {
  ServiceInfo service{.name = "TestDrv", .image_path = "C:\\x.sys", .type = 1, .state = 4};
  EXPECT_EQ(ServiceBlock(service, true),
            "\nSERVICE_NAME: TestDrv \n"
            "        TYPE               : 1  KERNEL_DRIVER  \n"
            "        STATE              : 4  RUNNING \n"
            "                                (STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN)\n"
            "        WIN32_EXIT_CODE    : 0  (0x0)\n"
            "        SERVICE_EXIT_CODE  : 0  (0x0)\n"
            "        CHECKPOINT         : 0x0\n"
            "        WAIT_HINT          : 0x0\n"
            "        PID                : 0\n"
            "        FLAGS              : \n");
  service.state = 1;
  EXPECT_EQ(ServiceBlock(service, false).find("STOPPABLE"), std::string::npos);
}

TEST(Report, HostileTextStaysOnItsLineAndIsValidJson) {
  RunOptions options;
  options.driver = "x.sys";
  RunResult result;
  result.outcome = Outcome::kBugcheck;
  result.stop.emplace();
  std::memcpy(const_cast<char*>(result.stop->driver), "a\n\x1b[2J\xff.sys", 12);
  result.warnings.push_back("line\nbreak\x01");
  EXPECT_EQ(ReportText(options, result).find('\x1b'), std::string::npos);
  const std::string json = ReportJson(options, result);
  EXPECT_EQ(json.find('\xff'), std::string::npos);
  EXPECT_NE(json.find("\"outcome\": \"bugcheck\""), std::string::npos);
}

}  // namespace
}  // namespace run
