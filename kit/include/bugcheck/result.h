// Errors as values: what the kit itself could not do. What a driver answers is a Status (bugcheck/status.h).
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "bugcheck/status.h"

namespace bugcheck {

struct Error {
  std::string message;                    // one sentence: "what failed: why"
  Status status = status::kUnsuccessful;  // NT's, where there is one
};

inline std::ostream& operator<<(std::ostream& stream, const Error& error) {
  return stream << error.message;
}

// A T or an Error. Reading the value of an error, or the error of a value, is a programming error (std::abort
// without exceptions, std::bad_variant_access with them).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : value_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& operator*() & { return std::get<0>(value_); }
  const T& operator*() const& { return std::get<0>(value_); }
  T&& operator*() && { return std::get<0>(std::move(value_)); }
  T* operator->() { return &std::get<0>(value_); }
  const T* operator->() const { return &std::get<0>(value_); }
  const Error& error() const { return std::get<1>(value_); }
  T value_or(T other) const { return ok() ? **this : std::move(other); }

 private:
  std::variant<T, Error> value_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : value_(std::move(error)) {}

  bool ok() const { return value_.index() == 0; }
  explicit operator bool() const { return ok(); }
  const Error& error() const { return std::get<1>(value_); }

 private:
  std::variant<std::monostate, Error> value_;
};

}  // namespace bugcheck
