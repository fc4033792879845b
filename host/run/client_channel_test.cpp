// A client's rings against a guest that lies: about where they are, how long they are, and what is in them.
#include "run/client_channel.h"

#include <cstring>

#include <gtest/gtest.h>

namespace run {
namespace {

constexpr uint64_t kArea = 0x200000, kRequests = 0x300000, kReplies = 0x340000;
constexpr uint32_t kRing = 64 * 1024;

class ClientRings : public testing::Test {
 protected:
  void SetUp() override {
    auto ram = boot::GuestRam::Create(boot::kMinimumMemory);
    ASSERT_TRUE(ram);
    ram_ = std::move(*ram);
    area_ = ram_.Object<boot::ClientArea>(kArea);
    area_->magic = boot::kClientMagic;
    area_->requests.physical = kRequests;
    area_->requests.size = kRing;
    area_->replies.physical = kReplies;
    area_->replies.size = kRing;
  }
  void GuestReplies(const boot::Message& message) {
    std::memcpy(ram_.At(kReplies + area_->replies.head % kRing, sizeof(message))->data(), &message,
                sizeof(message));
    area_->replies.head = area_->replies.head + sizeof(message) + (message.size + 7) / 8 * 8;
  }

  boot::GuestRam ram_;
  boot::ClientArea* area_ = nullptr;
};

TEST_F(ClientRings, AreasThatAreNoneAreRefused) {
  EXPECT_TRUE(ClientChannel::Attach(ram_, kArea));
  EXPECT_FALSE(ClientChannel::Attach(ram_, kArea + 4096));               // no magic
  EXPECT_FALSE(ClientChannel::Attach(ram_, kArea + 1));                  // not aligned
  EXPECT_FALSE(ClientChannel::Attach(ram_, boot::kMinimumMemory - 64));  // runs out of RAM
  EXPECT_FALSE(ClientChannel::Attach(ram_, ~uint64_t{0} - 63));          // wraps around
  area_->replies.physical = boot::kMinimumMemory - 4096;
  EXPECT_FALSE(ClientChannel::Attach(ram_, kArea));
  area_->replies.physical = kReplies;
  for (const uint32_t size : {0u, 3u, 0x80000000u}) {
    area_->requests.size = size;
    EXPECT_FALSE(ClientChannel::Attach(ram_, kArea)) << size;
  }
}

TEST_F(ClientRings, WhatChangesAfterwardsIsNotBelieved) {
  auto channel = ClientChannel::Attach(ram_, kArea);
  ASSERT_TRUE(channel);
  area_->replies.physical = ~uint64_t{0};
  area_->replies.size = 0xFFFFFFFF;
  area_->requests.physical = 0;
  GuestReplies({0, 3, 7, -1});
  auto reply = channel->Read();
  ASSERT_TRUE(reply);
  ASSERT_TRUE(*reply);
  EXPECT_EQ((*reply)->id, 7u);
  EXPECT_TRUE(channel->Send(boot::ClientRequest::kClose, 1, {}).value_or(false));
  boot::Message sent;
  std::memcpy(&sent, ram_.At(kRequests, sizeof(sent))->data(), sizeof(sent));
  EXPECT_EQ(sent.id, 1u);
}

TEST_F(ClientRings, ImpossibleIndicesAndLengthsAreErrors) {
  auto channel = ClientChannel::Attach(ram_, kArea);
  ASSERT_TRUE(channel);
  area_->replies.head = kRing + 8;
  EXPECT_FALSE(channel->Read());
  area_->replies.head = 0;
  GuestReplies({boot::kMaxPayload + 1, 3, 7, 0});
  EXPECT_FALSE(channel->Read());
  area_->requests.tail = 8;  // more than was ever written
  EXPECT_FALSE(channel->Send(boot::ClientRequest::kClose, 1, {}));
}

TEST_F(ClientRings, AFullRingTakesNothing) {
  auto channel = ClientChannel::Attach(ram_, kArea);
  ASSERT_TRUE(channel);
  const std::vector<std::byte> data(4096 - sizeof(boot::Message));
  for (int i = 0; i < 16; ++i)
    EXPECT_EQ(channel->Send(boot::ClientRequest::kPoke, 1, {}, data).value_or(false), true);
  EXPECT_EQ(channel->Send(boot::ClientRequest::kPoke, 1, {}, data).value_or(true), false);
  area_->requests.tail = area_->requests.tail + 4096;
  EXPECT_EQ(channel->Send(boot::ClientRequest::kPoke, 1, {}, data).value_or(false), true);
  EXPECT_FALSE(
      channel->Send(boot::ClientRequest::kPoke, 1, {}, std::vector<std::byte>(boot::kMaxPayload + 1)));
}

}  // namespace
}  // namespace run
