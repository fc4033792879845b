#include "formats/pdb/pdb_file.h"

#include <algorithm>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "formats/pdb/undecorate.h"
#include "formats/pe/image.h"

namespace pdb {
namespace {

constexpr const char* kSample = BUGCHECK_SAMPLE_FOLDER "/debug_sample.pdb";

// Asks a source everything that it can be asked.
size_t Exercise(const symbols::Source& source) {
  size_t total = 0;
  source.ForEachType([&](symbols::TypeId id, const symbols::Type& type) {
    total += type.name.size() + source.TypeName(id).size();
    for (const auto& member : source.Members(id))
      total += source.TypeName(member.type).size() + source.GetType(member.type).size;
    total += source.Enumerators(id).size();
    return true;
  });
  std::vector<uint32_t> addresses;
  source.ForEachSymbol([&](const symbols::Symbol& symbol) {
    addresses.push_back(symbol.rva);
    return addresses.size() < 2000;
  });
  for (const uint32_t rva : addresses) {
    total += source.SymbolAt(rva + 1).has_value() + source.LineAt(rva).has_value();
    total += source.InlineFramesAt(rva + 4).size() + source.VariablesAt(rva).size();
  }
  return total;
}

TEST(Pdb, IdentityIsTheImages) {
  const auto image_text = base::ReadWholeFile(BUGCHECK_SAMPLE_FOLDER "/debug_sample.exe");
  ASSERT_TRUE(image_text);
  const auto image = pe::Image::Parse(base::AsBytes(*image_text), pe::Layout::kFile);
  ASSERT_TRUE(image);
  const auto source = Open(kSample);
  ASSERT_TRUE(source) << source.error().message;
  EXPECT_EQ((*source)->id(), image->DebugRecord()->id);
}

TEST(Pdb, TypesOfEveryKind) {
  const auto source = std::move(*Open(kSample));
  const auto thread = source->FindType("_KTHREAD");
  ASSERT_NE(thread, symbols::kNoType);
  std::map<std::string, std::pair<uint64_t, std::string>> members;
  for (const auto& m : source->Members(thread))
    members[std::string(m.name)] = {m.offset, source->TypeName(m.type)};
  EXPECT_EQ(members["Header"], std::pair(uint64_t{0}, std::string("unsigned __int64[3]")));
  EXPECT_EQ(members["KernelStack"].second, "void*");
  EXPECT_EQ(members["State"].second, "unsigned char") << "volatile is dropped";
  EXPECT_EQ(members["QuantumReset"].second, "unsigned long:7");
  EXPECT_EQ(members["WaitBlock"].second, "_KWAIT_BLOCK[4]");
  EXPECT_EQ(members["Matrix"].second, "short[2][3]");
  EXPECT_EQ(members["WaitTime"].first, members["WaitTime64"].first) << "members of anonymous unions";
  EXPECT_EQ(members["StateEnum"].second, "_KTHREAD_STATE");
  const auto& states = source->Enumerators(source->FindType("_KTHREAD_STATE"));
  ASSERT_EQ(states.size(), 7u);
  EXPECT_EQ(states.back().name, "Broken");
  EXPECT_EQ(states.back().value, -1);
  const auto entry = source->GetType(source->FindType("_LIST_ENTRY"));
  EXPECT_EQ(entry.size, 16u);
  EXPECT_FALSE(entry.is_forward);
  EXPECT_EQ(source->GetType(source->FindType("unsigned long")).size, 4u);
}

TEST(Pdb, SymbolsWithSizesTypesAndLines) {
  const auto source = std::move(*Open(kSample));
  const auto leaf = source->FindSymbol("Leaf");
  ASSERT_TRUE(leaf);
  EXPECT_EQ(leaf->kind, symbols::SymbolKind::kFunction);
  EXPECT_GT(leaf->size, 0u);
  EXPECT_EQ(source->SymbolAt(leaf->rva + leaf->size - 1)->name, "Leaf");
  const auto handler = source->FindSymbol("Handler");
  ASSERT_TRUE(handler);
  EXPECT_EQ(source->SymbolAt(handler->rva + 3)->name, "Handler");
  const auto threads = source->FindSymbol("SampleThreads");
  ASSERT_TRUE(threads);
  EXPECT_EQ(source->TypeName(threads->type), "_ETHREAD[4]");
  EXPECT_EQ(threads->size, source->GetType(source->FindType("_ETHREAD")).size * 4);
  EXPECT_TRUE(source->FindSymbol("ke::Event::Set"));
  EXPECT_FALSE(source->FindSymbol("NoSuchSymbol"));
  EXPECT_TRUE(source->LineAt(leaf->rva)->file.ends_with("sample.cpp"));
  uint32_t last = 0;
  source->ForEachSymbol([&](const symbols::Symbol& s) {
    EXPECT_GE(s.rva, last);
    last = s.rva;
    return true;
  });
}

TEST(Pdb, Undecorating) {
  EXPECT_EQ(Undecorate("?Set@Event@ke@@QEAAJJ@Z"), "ke::Event::Set");
  EXPECT_EQ(Undecorate("?g_count@@3HA"), "g_count");
  EXPECT_EQ(Undecorate("??0Event@ke@@QEAA@XZ"), "ke::Event::Event");
  EXPECT_EQ(Undecorate("??1Event@@QEAA@XZ"), "Event::~Event");
  EXPECT_EQ(Undecorate("?f@?A0x12345678@@YAXXZ"), "`anonymous namespace'::f");
  EXPECT_EQ(Undecorate("??_C@_0M@KPLPPDAC@Hello@"), "`string'");
  EXPECT_EQ(Undecorate("KeBugCheckEx"), "KeBugCheckEx");
  EXPECT_EQ(Undecorate("??$max@H@@YAHHH@Z"), "??$max@H@@YAHHH@Z");
  EXPECT_EQ(Undecorate("?"), "?");
}

TEST(Pdb, CutAndCorruptedFilesNeverCrash) {
  const auto text = base::ReadWholeFile(kSample);
  ASSERT_TRUE(text);
  EXPECT_EQ(OpenBytes({}, "x").error().message, "x: not a PDB (MSF 7.00) file");
  EXPECT_GT(Exercise(**OpenBytes(base::AsBytes(*text), "x")), 1000u);
  for (size_t size = 0; size < text->size(); size += 4001) {
    const auto source = OpenBytes(base::AsBytes(std::string_view(*text).substr(0, size)), "x");
    EXPECT_FALSE(source) << size;
  }
  std::mt19937 random(1);
  size_t opened = 0;
  for (int round = 0; round < 60; ++round) {
    std::string broken = *text;
    for (int i = 0; i < 200; ++i) broken[random() % broken.size()] = static_cast<char>(random());
    const auto source = OpenBytes(base::AsBytes(broken), "x");
    if (!source) continue;
    ++opened;
    Exercise(**source);
  }
  EXPECT_GT(opened, 0u) << "the damage reached nothing but the headers";
}

}  // namespace
}  // namespace pdb
