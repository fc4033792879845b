// The sample cancel-safe queue through the kit: pending, cancelled and closed requests. Oracle: the WDK on
// IoCsq* and IRP_MJ_CLEANUP, and what the sample says it does.
#include <string_view>

#include "bugcheck/gtest.h"

namespace {

using bugcheck::AsBytes;
using bugcheck::Bytes;
using bugcheck::File;
using bugcheck::Request;
namespace status = bugcheck::status;

class CancelQueue : public bugcheck::DriverTest {
 protected:
  CancelQueue() : DriverTest(CANCEL_QUEUE_SYS) {}
  File OpenQueue() { return Open(L"\\\\.\\CancelQueue"); }
};

TEST_F(CancelQueue, AReadWaitsForAWrite) {
  File file = OpenQueue();
  Request read = file.StartRead(100);
  EXPECT_FALSE(read.Done());
  const uint32_t message = 0x12345678;
  EXPECT_EQ(file.Write(AsBytes(message)).information, 4u);
  const auto result = read.Wait();
  EXPECT_EQ(result.status, status::kSuccess);
  EXPECT_TRUE(result.was_pending);
  EXPECT_EQ(result.As<uint32_t>(), message);
}

TEST_F(CancelQueue, MessagesWaitForReads) {
  File writer = OpenQueue();
  File reader = OpenQueue();
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(writer.Write(AsBytes(i)).status, status::kSuccess);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(reader.Read(4).As<uint32_t>(), i);
  EXPECT_EQ(writer.Write(Bytes(10)).status, status::kSuccess);
  const auto shorter = reader.Read(4);
  EXPECT_EQ(shorter.status, status::kBufferOverflow);
  EXPECT_EQ(shorter.data.size(), 4u);
}

TEST_F(CancelQueue, ACancelledReadIsCancelledAndNoOther) {
  File file = OpenQueue();
  Request first = file.StartRead(4), second = file.StartRead(4), third = file.StartRead(4);
  EXPECT_EQ(second.Cancel(), status::kSuccess);
  EXPECT_EQ(second.Wait().status, status::kCancelled);
  EXPECT_FALSE(first.Done());
  EXPECT_FALSE(third.Done());
  EXPECT_EQ(second.Cancel(), status::kNotFound);
  EXPECT_EQ(file.CancelAll(), status::kSuccess);
  EXPECT_EQ(first.Wait().status, status::kCancelled);
  EXPECT_EQ(third.Wait().status, status::kCancelled);
  EXPECT_EQ(file.CancelAll(), status::kNotFound);
}

TEST_F(CancelQueue, ClosingAHandleEndsItsReads) {
  File one = OpenQueue(), other = OpenQueue();
  Request read = one.StartRead(4), of_other = other.StartRead(4);
  EXPECT_EQ(one.Close(), status::kSuccess);
  EXPECT_EQ(read.Wait().status, status::kCancelled);
  EXPECT_FALSE(of_other.Done());
}

TEST_F(CancelQueue, AProgramThatEndsTakesItsReadsAlong) {
  auto client = machine().NewClient();
  BUGCHECK_ASSERT_OK(client);
  auto file = client->Open(L"\\\\.\\CancelQueue");
  BUGCHECK_ASSERT_OK(file);
  std::vector<Request> reads;
  for (int i = 0; i < 20; ++i) reads.push_back(file->StartRead(16));
  BUGCHECK_EXPECT_OK(client->End());  // its handle is still open: the process's end closes it
  for (Request& read : reads) EXPECT_EQ(read.Wait().status, status::kNoAnswer);
  Unload();  // nothing of the program holds the driver
}

TEST_F(CancelQueue, AThousandReadsAreCancelledOneByOne) {
  File file = OpenQueue();
  std::vector<Request> reads;
  for (int i = 0; i < 1000; ++i) reads.push_back(file.StartRead(8));
  for (int i = 999; i >= 0; i -= 2) EXPECT_EQ(reads[i].Cancel(), status::kSuccess);
  const uint64_t message = 5;
  for (int i = 0; i < 500; ++i) EXPECT_EQ(file.Write(AsBytes(message)).status, status::kSuccess);
  EXPECT_TRUE(machine().WaitAll(reads));
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(reads[i].Wait().status, i % 2 == 1 ? status::kCancelled : status::kSuccess) << i;
}

}  // namespace
