// The control channel against a guest that plays by the rules, and against one that does not.
#include "run/control_channel.h"

#include <cstring>

#include <gtest/gtest.h>

#include "run/fields.h"

namespace run {
namespace {

constexpr uint64_t kControl = 0x200000;
constexpr uint64_t kConsole = 0x300000;
constexpr uint64_t kRequests = 0x400000;
constexpr uint64_t kReplies = 0x500000;
constexpr uint64_t kTrace = 0x580000;

class Channel : public testing::Test {
 protected:
  void SetUp() override {
    auto ram = boot::GuestRam::Create(boot::kMinimumMemory);
    ASSERT_TRUE(ram);
    ram_ = std::move(*ram);
    area_ = ram_.Object<boot::ControlArea>(kControl);
    area_->magic = boot::kControlMagic;
    area_->version = boot::kControlVersion;
    area_->console.physical = kConsole;
    area_->console.size = 4096;
    area_->trace.physical = kTrace;
    area_->trace.size = 4096;
    area_->requests.physical = kRequests;
    area_->requests.size = 4096;
    area_->replies.physical = kReplies;
    area_->replies.size = 256 * 1024;
    auto channel = ControlChannel::Attach(ram_, kControl);
    ASSERT_TRUE(channel) << channel.error().message;
    channel_ = *channel;
  }

  // The guest writes to a ring.
  void GuestWrites(boot::Ring& ring, const void* bytes, size_t size) {
    auto target = ram_.At(ring.physical, ring.size);
    for (size_t i = 0; i < size; i++)
      (*target)[(ring.head + i) % ring.size] = static_cast<const std::byte*>(bytes)[i];
    ring.head = ring.head + size;
  }
  void GuestSends(uint32_t id, int32_t status, const std::string& payload) {
    const boot::Message message{static_cast<uint32_t>(payload.size()), 5, id, status};
    std::string bytes(reinterpret_cast<const char*>(&message), sizeof(message));
    bytes += payload;
    bytes.resize((bytes.size() + 7) / 8 * 8);
    GuestWrites(area_->replies, bytes.data(), bytes.size());
  }

  boot::GuestRam ram_;
  boot::ControlArea* area_ = nullptr;
  ControlChannel channel_;
};

TEST_F(Channel, ConsoleTextSurvivesTheWrap) {
  std::string all;
  for (int i = 0; i < 3000; i++) {
    const std::string line = "line " + std::to_string(i) + "\n";
    GuestWrites(area_->console, line.data(), line.size());
    auto text = channel_.ReadConsole();
    ASSERT_TRUE(text);
    EXPECT_EQ(*text, line);
    EXPECT_EQ(area_->console.tail, area_->console.head);
  }
}

TEST_F(Channel, TheTraceIsARingOfItsOwn) {
  GuestWrites(area_->console, "con", 3);
  GuestWrites(area_->trace, "event", 5);
  auto text = channel_.ReadTrace();
  ASSERT_TRUE(text);
  EXPECT_EQ(*text, "event");
  EXPECT_EQ(area_->trace.tail, 5u);
  EXPECT_EQ(area_->console.tail, 0u);
  area_->trace.head = 1ull << 40;
  EXPECT_FALSE(channel_.ReadTrace());
}

TEST_F(Channel, MessagesOfAllSizesSurviveTheWrap) {
  for (uint32_t size = 0; size < 1200; size++) {
    const std::string payload(size * 37 % 5000, static_cast<char>('a' + size % 26));
    GuestSends(size + 1, -static_cast<int32_t>(size), payload);
    auto message = channel_.ReadMessage();
    ASSERT_TRUE(message && *message);
    EXPECT_EQ((*message)->id, size + 1);
    EXPECT_EQ((*message)->status, -static_cast<int32_t>(size));
    EXPECT_EQ((*message)->payload, payload);
    auto nothing = channel_.ReadMessage();
    ASSERT_TRUE(nothing);
    EXPECT_FALSE(*nothing);
  }
}

TEST_F(Channel, HalfAMessageWaits) {
  const boot::Message message{16, 5, 1, 0};
  GuestWrites(area_->replies, &message, 12);
  ASSERT_TRUE(channel_.ReadMessage());
  EXPECT_FALSE(*channel_.ReadMessage());
  GuestWrites(area_->replies, reinterpret_cast<const char*>(&message) + 12, 4);
  EXPECT_FALSE(*channel_.ReadMessage());
  GuestWrites(area_->replies, "0123456789abcdef", 16);
  auto whole = channel_.ReadMessage();
  ASSERT_TRUE(whole && *whole);
  EXPECT_EQ((*whole)->payload, "0123456789abcdef");
}

TEST_F(Channel, ImpossibleIndicesEndTheConversation) {
  for (const uint64_t head : {uint64_t{4097}, uint64_t{1} << 40, UINT64_MAX}) {
    area_->console.head = head;
    EXPECT_FALSE(channel_.ReadConsole()) << head;
  }
  area_->replies.head = 256 * 1024 + 1;
  EXPECT_FALSE(channel_.ReadMessage());
  area_->requests.tail = 1;  // more read than was ever written
  EXPECT_FALSE(channel_.Send(boot::Request::kPing, 1, ""));
}

TEST_F(Channel, AMessageLongerThanAllowedIsRefused) {
  const boot::Message message{boot::kMaxPayload + 1, 5, 1, 0};
  GuestWrites(area_->replies, &message, sizeof(message));
  EXPECT_FALSE(channel_.ReadMessage());
  area_->replies.tail = 0;
  const boot::Message huge{UINT32_MAX, 5, 1, 0};
  GuestWrites(area_->replies, &huge, sizeof(huge));
  EXPECT_FALSE(channel_.ReadMessage());
}

TEST_F(Channel, MovingARingChangesNothing) {
  area_->console.physical = UINT64_MAX - 8;
  area_->console.size = 0;
  area_->console.head = 5;
  auto text = channel_.ReadConsole();
  ASSERT_TRUE(text);
  EXPECT_EQ(text->size(), 5u);
}

TEST_F(Channel, AFullRequestRingIsNotAnError) {
  const std::string payload(1000, 'x');
  int sent = 0;
  for (;;) {
    auto done = channel_.Send(boot::Request::kPing, 1, payload);
    ASSERT_TRUE(done);
    if (!*done) break;
    sent++;
  }
  EXPECT_EQ(sent, 4);
  area_->requests.tail = area_->requests.head;
  auto done = channel_.Send(boot::Request::kPing, 2, payload);
  ASSERT_TRUE(done);
  EXPECT_TRUE(*done);
}

TEST_F(Channel, RingsMustLieInRam) {
  area_->console.physical = boot::kMinimumMemory - 100;
  EXPECT_FALSE(ControlChannel::Attach(ram_, kControl));
  area_->console.physical = kConsole;
  area_->console.size = 4095;
  EXPECT_FALSE(ControlChannel::Attach(ram_, kControl));
  EXPECT_FALSE(ControlChannel::Attach(ram_, UINT64_MAX - 63));
}

TEST(Fields, WrittenFieldsReadBack) {
  const std::string payload =
      FieldWriter().String("abcde").U32(7).U64(1ull << 40).String("").String("1234").payload();
  EXPECT_EQ(payload.size() % 4, 0u);
  FieldReader reader(payload);
  EXPECT_EQ(reader.String(), "abcde");
  EXPECT_EQ(reader.U32(), 7u);
  EXPECT_EQ(reader.U64(), 1ull << 40);
  EXPECT_EQ(reader.String(), "");
  EXPECT_EQ(reader.String(), "1234");
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_EQ(reader.U32(), std::nullopt);
}

TEST(Fields, ALengthBeyondTheEndYieldsNothing) {
  FieldReader reader(
      std::string_view("\xFF\xFF\xFF\xFF"
                       "abc",
                       7));
  EXPECT_EQ(reader.String(), std::nullopt);
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_EQ(reader.String(), std::nullopt);
}

}  // namespace
}  // namespace run
