#include "base/result.h"

#include <system_error>

namespace base {

tl::unexpected<Error> FailErrno(std::string what, int error_number) {
  return Fail(std::move(what) + ": " + std::generic_category().message(error_number));
}

}  // namespace base
