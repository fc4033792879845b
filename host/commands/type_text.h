// Types and typed values as dt, dv and kP show them.
#pragma once

#include <string>

#include "commands/command.h"
#include "debug/type.h"
#include "debug/unwind.h"

namespace commands {

// "Uint4B", "Ptr64 _KTHREAD", "[4] _KWAIT_BLOCK": dt's own words for a type.
std::string TypeText(const debug::Type& type);
// A scalar, a string or a short description of a record; "Memory read error at ..." where it cannot be read.
std::string ValueText(const debug::Object& object);

struct TypePrintOptions {
  int depth = 0;             // -r: how many levels of records to open
  std::string field;         // only fields that begin with this
  bool with_values = false;  // an address was given
};
// The members with offsets, at `indent`; bounded to a few thousand lines.
void PrintMembers(Context& context, const debug::Object& object, const TypePrintOptions& options);

// "unsigned long count = 0x3": a local variable where `frame` is.
std::string VariableText(Context& context, const debug::Frame& frame, const symbols::Variable& variable);

}  // namespace commands
