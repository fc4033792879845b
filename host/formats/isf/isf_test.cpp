#include "formats/isf/isf.h"

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "formats/pdb/pdb_file.h"

namespace isf {
namespace {

std::string SharedIsf(const char* name) {
  const char* shared = std::getenv("BUGCHECK_SHARED");
  return std::string(shared != nullptr ? shared : BUGCHECK_SHARED_DEFAULT) + "/data/isf/ntkrnlmp.pdb/" + name;
}

TEST(Isf, RealKernel) {
  const std::string path = SharedIsf("0CE4A95C0CD782A7596B034D8648E585-1.json.xz");
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto opened = Open(path);
  ASSERT_TRUE(opened) << opened.error().message;
  const symbols::Source& source = **opened;
  EXPECT_EQ(source.id().StoreKey(), "0CE4A95C0CD782A7596B034D8648E5851");
  const auto thread = source.FindType("_KTHREAD");
  ASSERT_NE(thread, symbols::kNoType);
  EXPECT_EQ(source.GetType(thread).size, 0x480u);
  const auto& members = source.Members(thread);
  EXPECT_TRUE(std::ranges::is_sorted(members, {}, &symbols::Member::offset));
  const auto stack = std::ranges::find(members, std::string_view("KernelStack"), &symbols::Member::name);
  ASSERT_NE(stack, members.end());
  EXPECT_EQ(stack->offset, 0x58u);
  EXPECT_EQ(source.TypeName(stack->type), "void*");
  const auto symbol = source.FindSymbol("PsActiveProcessHead");
  ASSERT_TRUE(symbol);
  EXPECT_EQ(symbol->rva, 12697504u);
  EXPECT_EQ(source.SymbolAt(symbol->rva)->name, "PsActiveProcessHead");
}

TEST(Isf, WritesWhatItReads) {
  const auto pdb = pdb::Open(BUGCHECK_SAMPLE_FOLDER "/debug_sample.pdb");
  ASSERT_TRUE(pdb);
  const auto json = Write(**pdb, "debug_sample.pdb");
  ASSERT_TRUE(json) << json.error().message;
  const auto document = nlohmann::json::parse(*json);
  EXPECT_EQ(document["metadata"]["windows"]["pdb"]["GUID"], (*pdb)->id().guid.ToString());
  EXPECT_EQ(document["metadata"]["windows"]["pdb"]["database"], "debug_sample.pdb");
  EXPECT_EQ(document["base_types"]["pointer"]["size"], 8);
  // Readers make objects of these by name, and want these types in a kernel's symbols.
  for (const char* name : {"int", "unsigned int", "unsigned short", "unsigned long long", "wchar", "void"})
    EXPECT_TRUE(document["base_types"].contains(name)) << name;
  for (const char* name : {"_EX_FAST_REF", "_TOKEN", "_MMVAD", "_CMHIVE", "_VACB", "_IMAGE_DOS_HEADER"})
    EXPECT_TRUE(document["user_types"].contains(name)) << name;
  EXPECT_EQ(document["user_types"]["_LIST_ENTRY"]["fields"]["Blink"]["offset"], 8);
  EXPECT_EQ(document["enums"]["_KTHREAD_STATE"]["constants"]["Broken"], -1);
  // Every type that is referred to exists.
  std::function<void(const nlohmann::json&)> check = [&](const nlohmann::json& type) {
    const std::string kind = type["kind"];
    if (kind == "struct" || kind == "union")
      EXPECT_TRUE(document["user_types"].contains(type["name"])) << type;
    if (kind == "enum") EXPECT_TRUE(document["enums"].contains(type["name"])) << type;
    if (kind == "base") EXPECT_TRUE(document["base_types"].contains(type["name"])) << type;
    if (type.contains("subtype")) check(type["subtype"]);
    if (type.contains("type")) check(type["type"]);
  };
  for (const auto& user_type : document["user_types"]) {
    for (const auto& field : user_type["fields"]) check(field["type"]);
  }
  // Read back, it says what the PDB says.
  const auto back = OpenBytes(base::AsBytes(*json), "x");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ((*back)->id(), (*pdb)->id());
  for (const char* name : {"_KTHREAD", "_ETHREAD", "_EPROCESS", "_KPRCB"}) {
    const auto from = (*pdb)->FindType(name), to = (*back)->FindType(name);
    EXPECT_EQ((*back)->GetType(to).size, (*pdb)->GetType(from).size) << name;
    for (const auto& member : (*pdb)->Members(from)) {
      const auto& members = (*back)->Members(to);
      const auto found = std::ranges::find(members, member.name, &symbols::Member::name);
      ASSERT_NE(found, members.end()) << member.name;
      EXPECT_EQ(found->offset, member.offset);
      const auto a = (*pdb)->GetType(member.type), b = (*back)->GetType(found->type);
      EXPECT_EQ(std::tuple(a.size, a.count, a.bit_position, a.bit_count, a.is_signed),
                std::tuple(b.size, b.count, b.bit_position, b.bit_count, b.is_signed))
          << name << "." << member.name;
    }
  }
  EXPECT_EQ((*back)->FindSymbol("Leaf")->rva, (*pdb)->FindSymbol("Leaf")->rva);
}

TEST(Isf, WrongInput) {
  EXPECT_FALSE(OpenBytes({}, "x"));
  for (const std::string text :
       {"{", "[]", "{}", "{\"metadata\":{}}", "{\"user_types\":{\"a\":{\"fields\":", "{\"a\":1e5,\"b\":\"\\",
        "\xfd"
        "7zXZ"}) {
    EXPECT_FALSE(OpenBytes(base::AsBytes(text), "x")) << text;
  }
  EXPECT_FALSE(OpenBytes(base::AsBytes("{\"a\":" + std::string(100000, '[')), "x"));
}

}  // namespace
}  // namespace isf
