// MASM-style expressions, as the debugger's commands take them.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "debug/session.h"

namespace debug {

// Numbers are hexadecimal; 0x, 0n (decimal), 0t (octal), 0y (binary) prefixes; backticks inside numbers are
// ignored. Names: nt!KeBugCheckEx, KeBugCheckEx; a name that is also a number (e.g. "add") is a number;
// registers @rip, @$thread,
// @$proc, @$prcb, @$ip, @$csp, @$ra, also without '@' where no symbol is meant (rip, rsp+8).
// Operators: unary + - ~ not hi low by wo dwo qwo poi; * / % mod; + -; << >> >>>; < <= > >= = == !=; & and; ^
// xor; | or; ( ) [ ].
base::Result<uint64_t> Evaluate(const Session& session, std::string_view text);

// Evaluates the expression at the front of `text` (up to a blank outside brackets) and removes it with the
// blanks after it.
base::Result<uint64_t> TakeExpression(const Session& session, std::string_view& text);

}  // namespace debug
