// Stacks as text.
#pragma once

#include <string>
#include <vector>

#include "commands/command.h"
#include "debug/unwind.h"

namespace commands {

// "TestDriver!Worker+0x12"; frames of callers are named by the call, shown with the return address's offset.
std::string FrameName(const debug::Symbols& symbols, const debug::Frame& frame);
// "C:\x\driver.c @ 47"; "" when not known.
std::string FrameSource(const debug::Symbols& symbols, const debug::Frame& frame);

// The module and function of a frame, "" where there is no symbol.
struct FrameSymbol {
  const debug::Module* module = nullptr;
  std::string function;
  uint64_t displacement = 0;
};
FrameSymbol SymbolOf(const debug::Symbols& symbols, const debug::Frame& frame);

// MEX's layout: "# Child-SP Return Call Site [Source]".
void PrintMexStack(Output& out, const debug::Symbols& symbols, const debug::StackTrace& stack);

}  // namespace commands
