// Errors as values for all host code: a function that can fail returns base::Result<T>; no exception crosses
// a module.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

namespace base {

// One sentence for the user, without a trailing newline: "what failed: why".
struct [[nodiscard]] Error {
  std::string message;
};

template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> Fail(std::string message) {
  return tl::make_unexpected(Error{std::move(message)});
}

// "`what`: strerror(`error_number`)"
tl::unexpected<Error> FailErrno(std::string what, int error_number);

// The same error with a prefix: "`what`: old message".
inline tl::unexpected<Error> Wrap(std::string what, const Error& inner) {
  return Fail(std::move(what) + ": " + inner.message);
}

namespace detail {
template <typename T>
T Unwrap(Result<T>&& result) {
  if constexpr (std::is_void_v<T>) {
    return;
  } else {
    return std::move(*result);
  }
}
}  // namespace detail

}  // namespace base

// `auto x = TRY(F());` returns F's error from the enclosing function, else yields F's value.
#define TRY(expression)                                             \
  ({                                                                \
    auto try_result_ = (expression);                                \
    if (!try_result_) {                                             \
      return ::tl::make_unexpected(std::move(try_result_).error()); \
    }                                                               \
    ::base::detail::Unwrap(std::move(try_result_));                 \
  })

// As TRY, with a prefix for the message.
#define TRY_WRAP(what, expression)                      \
  ({                                                    \
    auto try_result_ = (expression);                    \
    if (!try_result_) {                                 \
      return ::base::Wrap((what), try_result_.error()); \
    }                                                   \
    ::base::detail::Unwrap(std::move(try_result_));     \
  })
