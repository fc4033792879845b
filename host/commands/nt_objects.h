// Objects of the object manager: their type, name, counts.
#pragma once

#include <cstdint>
#include <string>

#include "commands/nt_kernel.h"

namespace nt {

struct ObjectFacts {
  uint64_t address = 0;
  uint64_t header = 0;
  uint64_t type = 0;  // OBJECT_TYPE
  std::string type_name;
  std::string name;  // "" = none
  int64_t pointer_count = 0, handle_count = 0;
  uint64_t directory = 0;  // of its name
};

// An Error when there is no object at `address`: the header's type is none.
base::Result<ObjectFacts> ReadObject(Kernel& kernel, uint64_t address);

}  // namespace nt
