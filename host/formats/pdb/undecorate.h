// The bare qualified name inside a Microsoft-mangled C++ name.
#pragma once

#include <string>
#include <string_view>

namespace pdb {

// "?Set@Event@ke@@QEAAJJ@Z" -> "ke::Event::Set"; constructors and destructors too. String literals give
// "`string'". What it does not understand (templates, operators) is returned as it is.
std::string Undecorate(std::string_view mangled);

}  // namespace pdb
