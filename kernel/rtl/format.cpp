// The formatter behind _vsnprintf, _vsnwprintf, DbgPrint: Windows's conversions, no floating point.
#include "rtl/rtl.h"

namespace rtl {
namespace {

template <typename Ch>
struct Output {
  Ch* buffer;
  size_t capacity;
  size_t length = 0;

  void Put(Ch unit) {
    if (length < capacity) buffer[length] = unit;
    ++length;
  }
  void Repeat(Ch unit, int count) {
    for (; count > 0; --count) Put(unit);
  }
};

enum class Size { kDefault, kChar, kShort, kLong, kLongLong, kWide, kInt32, kInt64 };

struct Spec {
  bool left = false;
  bool plus = false;
  bool space = false;
  bool alternate = false;
  bool zero = false;
  int width = 0;
  int precision = -1;
  Size size = Size::kDefault;
};

bool IsDigit(unsigned unit) {
  return unit >= '0' && unit <= '9';
}

char Convert(WCHAR unit, char*) {
  return static_cast<char>(ToAnsi(unit));
}
char Convert(char unit, char*) {
  return unit;
}
WCHAR Convert(WCHAR unit, WCHAR*) {
  return unit;
}
WCHAR Convert(char unit, WCHAR*) {
  return FromAnsi(static_cast<UCHAR>(unit));
}

template <typename Ch>
class Formatter {
 public:
  Formatter(Output<Ch>& out, const Ch* format) : out_(out), at_(format) {}

  // `arguments` is passed as a pointer, so that each conversion takes its own.
  void Run(va_list* arguments) {
    while (*at_ != 0) {
      if (*at_ != '%') {
        out_.Put(*at_++);
        continue;
      }
      start_ = at_++;
      Spec spec;
      ParseFlags(spec);
      ParseNumbers(spec, arguments);
      ParseSize(spec);
      if (*at_ == 0) return;
      One(spec, *at_++, arguments);
    }
  }

 private:
  void ParseFlags(Spec& spec) {
    for (;; ++at_) {
      switch (*at_) {
        case '-':
          spec.left = true;
          break;
        case '+':
          spec.plus = true;
          break;
        case ' ':
          spec.space = true;
          break;
        case '#':
          spec.alternate = true;
          break;
        case '0':
          spec.zero = true;
          break;
        default:
          return;
      }
    }
  }

  int Number(va_list* arguments) {
    if (*at_ == '*') {
      ++at_;
      return va_arg(*arguments, int);
    }
    int value = 0;
    while (IsDigit(*at_)) value = value < 1000000 ? value * 10 + (*at_++ - '0') : (++at_, value);
    return value;
  }

  void ParseNumbers(Spec& spec, va_list* arguments) {
    spec.width = Number(arguments);
    if (spec.width < 0) {
      spec.left = true;
      spec.width = -spec.width;
    }
    if (*at_ == '.') {
      ++at_;
      spec.precision = Number(arguments);
    }
  }

  void ParseSize(Spec& spec) {
    for (;; ++at_) {
      switch (*at_) {
        case 'h':
          spec.size = spec.size == Size::kShort ? Size::kChar : Size::kShort;
          break;
        case 'l':
          spec.size = spec.size == Size::kLong ? Size::kLongLong : Size::kLong;
          break;
        case 'w':
          spec.size = Size::kWide;
          break;
        case 'L':
        case 'j':
        case 'z':
        case 't':
          spec.size = Size::kInt64;
          break;
        case 'F':
        case 'N':
          break;
        case 'I':
          spec.size = Size::kInt64;
          if (at_[1] == '6' && at_[2] == '4') {
            at_ += 2;
          } else if (at_[1] == '3' && at_[2] == '2') {
            spec.size = Size::kInt32;
            at_ += 2;
          }
          break;
        default:
          return;
      }
    }
  }

  void One(Spec& spec, Ch conversion, va_list* arguments) {
    const bool own_is_wide = sizeof(Ch) == 2;
    switch (conversion) {
      case 'd':
      case 'i':
        return Signed(spec, arguments);
      case 'u':
        return Unsigned(spec, Integer(spec, arguments), 10, false, 0);
      case 'o':
        return Unsigned(spec, Integer(spec, arguments), 8, false, 0);
      case 'x':
        return Unsigned(spec, Integer(spec, arguments), 16, false, 0);
      case 'X':
        return Unsigned(spec, Integer(spec, arguments), 16, true, 0);
      case 'p':
        spec.precision = 16;
        spec.size = Size::kInt64;
        return Unsigned(spec, reinterpret_cast<ULONG64>(va_arg(*arguments, void*)), 16, true, 0);
      case 'c':
        return Character(spec, IsWide(spec, own_is_wide), arguments);
      case 'C':
        return Character(spec, IsWide(spec, !own_is_wide), arguments);
      case 's':
        return String(spec, IsWide(spec, own_is_wide), arguments);
      case 'S':
        return String(spec, IsWide(spec, !own_is_wide), arguments);
      case 'Z':
        return Counted(spec, IsWide(spec, false), arguments);
      case 'n':
        (void)va_arg(*arguments, void*);
        return;
      case 'e':
      case 'E':
      case 'f':
      case 'g':
      case 'G':
      case 'a':
      case 'A':
        (void)va_arg(*arguments, ULONG64);
        for (const Ch* unit = start_; unit != at_; ++unit) out_.Put(*unit);
        return;
      default:
        out_.Put(conversion);
    }
  }

  static bool IsWide(const Spec& spec, bool otherwise) {
    if (spec.size == Size::kShort) return false;
    return spec.size == Size::kLong || spec.size == Size::kWide || otherwise;
  }

  static ULONG64 Integer(const Spec& spec, va_list* arguments) {
    if (spec.size == Size::kInt64 || spec.size == Size::kLongLong) return va_arg(*arguments, ULONG64);
    const unsigned value = va_arg(*arguments, unsigned);
    if (spec.size == Size::kShort) return static_cast<USHORT>(value);
    return spec.size == Size::kChar ? static_cast<UCHAR>(value) : value;
  }

  void Signed(Spec& spec, va_list* arguments) {
    const ULONG64 raw = Integer(spec, arguments);
    LONGLONG value = static_cast<int>(raw);
    if (spec.size == Size::kInt64 || spec.size == Size::kLongLong) value = static_cast<LONGLONG>(raw);
    if (spec.size == Size::kShort) value = static_cast<SHORT>(raw);
    if (spec.size == Size::kChar) value = static_cast<signed char>(raw);
    const char sign = value < 0 ? '-' : spec.plus ? '+' : spec.space ? ' ' : 0;
    Unsigned(spec, value < 0 ? 0 - static_cast<ULONG64>(value) : static_cast<ULONG64>(value), 10, false,
             sign);
  }

  void Unsigned(const Spec& spec, ULONG64 value, unsigned base, bool upper, char sign) {
    char digits[24];
    int count = 0;
    for (ULONG64 rest = value; rest != 0; rest /= base) {
      digits[count++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
    }
    const int wanted = spec.precision < 0 ? 1 : spec.precision;
    int zeros = wanted > count ? wanted - count : 0;
    if (base == 8 && spec.alternate && zeros == 0) zeros = 1;
    const bool prefix = base == 16 && spec.alternate && value != 0;
    const int used = count + zeros + (sign != 0) + (prefix ? 2 : 0);
    int padding = spec.width > used ? spec.width - used : 0;
    if (spec.zero && !spec.left && spec.precision < 0) {
      zeros += padding;
      padding = 0;
    }
    if (!spec.left) out_.Repeat(' ', padding);
    if (sign != 0) out_.Put(static_cast<Ch>(sign));
    if (prefix) {
      out_.Put('0');
      out_.Put(upper ? 'X' : 'x');
    }
    out_.Repeat('0', zeros);
    while (count > 0) out_.Put(static_cast<Ch>(digits[--count]));
    if (spec.left) out_.Repeat(' ', padding);
  }

  void Character(const Spec& spec, bool wide, va_list* arguments) {
    const unsigned value = va_arg(*arguments, unsigned);
    if (wide) {
      const WCHAR unit = static_cast<WCHAR>(value);
      Text(spec, &unit, 1);
    } else {
      const char unit = static_cast<char>(value);
      Text(spec, &unit, 1);
    }
  }

  template <typename From>
  void Text(const Spec& spec, const From* text, size_t length) {
    const int padding = static_cast<size_t>(spec.width) > length ? spec.width - static_cast<int>(length) : 0;
    if (!spec.left) out_.Repeat(spec.zero ? '0' : ' ', padding);
    for (size_t i = 0; i < length; ++i) out_.Put(Convert(text[i], static_cast<Ch*>(nullptr)));
    if (spec.left) out_.Repeat(' ', padding);
  }

  template <typename From>
  void Terminated(const Spec& spec, const From* text) {
    size_t length = 0;
    while ((spec.precision < 0 || length < static_cast<size_t>(spec.precision)) && text[length] != 0)
      ++length;
    Text(spec, text, length);
  }

  void String(const Spec& spec, bool wide, va_list* arguments) {
    const void* text = va_arg(*arguments, const void*);
    if (text == nullptr) return Terminated(spec, "(null)");
    return wide ? Terminated(spec, static_cast<const WCHAR*>(text))
                : Terminated(spec, static_cast<const char*>(text));
  }

  void Counted(const Spec& spec, bool wide, va_list* arguments) {
    auto* string = va_arg(*arguments, const UNICODE_STRING*);  // STRING has the same layout
    if (string == nullptr || string->Buffer == nullptr) return Terminated(spec, "(null)");
    size_t length = wide ? string->Length / sizeof(WCHAR) : string->Length;
    if (spec.precision >= 0 && length > static_cast<size_t>(spec.precision)) length = spec.precision;
    return wide ? Text(spec, string->Buffer, length)
                : Text(spec, reinterpret_cast<const char*>(string->Buffer), length);
  }

  Output<Ch>& out_;
  const Ch* at_;
  const Ch* start_ = nullptr;
};

template <typename Ch>
size_t Format(Ch* buffer, size_t capacity, const Ch* format, va_list arguments, bool always_terminate) {
  Output<Ch> out{buffer, capacity};
  va_list copy;
  va_copy(copy, arguments);
  Formatter<Ch>(out, format).Run(&copy);
  va_end(copy);
  if (out.length < capacity) {
    buffer[out.length] = 0;
  } else if (always_terminate && capacity != 0) {
    buffer[capacity - 1] = 0;
  }
  return out.length;
}

}  // namespace

size_t FormatText(char* buffer, size_t capacity, const char* format, va_list arguments) {
  return Format(buffer, capacity, format, arguments, true);
}

size_t FormatText(WCHAR* buffer, size_t capacity, const WCHAR* format, va_list arguments) {
  return Format(buffer, capacity, format, arguments, true);
}

size_t FormatUnterminated(char* buffer, size_t capacity, const char* format, va_list arguments) {
  return Format(buffer, capacity, format, arguments, false);
}

size_t FormatUnterminated(WCHAR* buffer, size_t capacity, const WCHAR* format, va_list arguments) {
  return Format(buffer, capacity, format, arguments, false);
}

}  // namespace rtl
