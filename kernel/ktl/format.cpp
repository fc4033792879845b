#include "ktl/format.h"

#include <stdint.h>

namespace ktl {
namespace {

struct Sink {
  char* at;
  char* end;  // room for the zero is left
  void Put(char c) {
    if (at < end) *at++ = c;
  }
  void Fill(char c, size_t count) {
    for (; count > 0; --count) Put(c);
  }
};

struct Spec {
  bool left = false;
  bool zero = false;
  bool upper = false;
  size_t width = 0;
  size_t precision = SIZE_MAX;
  int longs = 0;  // 2 = 64 bits
  bool wide = false;
};

// STRING and UNICODE_STRING: both are {u16 length in bytes, u16, pointer}.
struct CountedString {
  uint16_t length;
  uint16_t maximum;
  const void* buffer;
};

void PutPadded(Sink& sink, const Spec& spec, const char* text, size_t length) {
  const size_t pad = spec.width > length ? spec.width - length : 0;
  if (!spec.left) sink.Fill(' ', pad);
  for (size_t i = 0; i < length; ++i) sink.Put(text[i]);
  if (spec.left) sink.Fill(' ', pad);
}

// Code units beyond ASCII become UTF-8; surrogates are written as '?'.
void PutWide(Sink& sink, const Spec& spec, const char16_t* text, size_t length) {
  const size_t pad = spec.width > length ? spec.width - length : 0;
  if (!spec.left) sink.Fill(' ', pad);
  for (size_t i = 0; i < length; ++i) {
    const unsigned unit = text[i];
    if (unit < 0x80) {
      sink.Put(static_cast<char>(unit));
    } else if (unit < 0x800) {
      sink.Put(static_cast<char>(0xC0 | (unit >> 6)));
      sink.Put(static_cast<char>(0x80 | (unit & 0x3F)));
    } else if (unit >= 0xD800 && unit < 0xE000) {
      sink.Put('?');
    } else {
      sink.Put(static_cast<char>(0xE0 | (unit >> 12)));
      sink.Put(static_cast<char>(0x80 | ((unit >> 6) & 0x3F)));
      sink.Put(static_cast<char>(0x80 | (unit & 0x3F)));
    }
  }
  if (spec.left) sink.Fill(' ', pad);
}

void PutNumber(Sink& sink, const Spec& spec, uint64_t value, unsigned base, bool negative) {
  char digits[24];
  size_t count = 0;
  const char* const alphabet = spec.upper ? "0123456789ABCDEF" : "0123456789abcdef";
  do {
    digits[count++] = alphabet[value % base];
    value /= base;
  } while (value != 0);
  const size_t length = count + (negative ? 1 : 0);
  const size_t pad = spec.width > length ? spec.width - length : 0;
  if (!spec.left && !spec.zero) sink.Fill(' ', pad);
  if (negative) sink.Put('-');
  if (!spec.left && spec.zero) sink.Fill('0', pad);
  while (count > 0) sink.Put(digits[--count]);
  if (spec.left) sink.Fill(' ', pad);
}

const char* ParseNumber(const char* at, size_t& value) {
  value = 0;
  while (*at >= '0' && *at <= '9') value = value * 10 + static_cast<size_t>(*at++ - '0');
  if (value > 4096) value = 4096;
  return at;
}

const char* ParseSpec(const char* at, Spec& spec) {
  for (;; ++at) {
    if (*at == '-')
      spec.left = true;
    else if (*at == '0')
      spec.zero = true;
    else if (*at != '+' && *at != ' ' && *at != '#')
      break;
  }
  at = ParseNumber(at, spec.width);
  if (*at == '.') at = ParseNumber(at + 1, spec.precision);
  for (;; ++at) {
    if (*at == 'l')
      ++spec.longs, spec.wide = true;
    else if (*at == 'w')
      spec.wide = true;
    else if (*at == 'z')
      spec.longs = 2;
    else if (*at == 'I' && at[1] == '6' && at[2] == '4')
      spec.longs = 2, at += 2;
    else if (*at != 'h')
      break;
  }
  return at;
}

void PutString(Sink& sink, const Spec& spec, const char* text) {
  if (text == nullptr) text = "(null)";
  size_t length = 0;
  while (length < spec.precision && text[length] != 0) ++length;
  PutPadded(sink, spec, text, length);
}

void PutWideString(Sink& sink, const Spec& spec, const char16_t* text) {
  if (text == nullptr) return PutString(sink, spec, nullptr);
  size_t length = 0;
  while (length < spec.precision && text[length] != 0) ++length;
  PutWide(sink, spec, text, length);
}

void PutCounted(Sink& sink, const Spec& spec, const CountedString* text) {
  if (text == nullptr || text->buffer == nullptr) return PutString(sink, spec, nullptr);
  if (spec.wide) return PutWide(sink, spec, static_cast<const char16_t*>(text->buffer), text->length / 2);
  PutPadded(sink, spec, static_cast<const char*>(text->buffer), text->length);
}

}  // namespace

size_t FormatV(char* buffer, size_t size, const char* format, va_list arguments) {
  if (size == 0) return 0;
  Sink sink{buffer, buffer + size - 1};
  for (const char* at = format; *at != 0; ++at) {
    if (*at != '%') {
      sink.Put(*at);
      continue;
    }
    Spec spec;
    const char* const start = at;
    at = ParseSpec(at + 1, spec);
    switch (*at) {
      case '%':
        sink.Put('%');
        break;
      case 'c': {
        const char c = static_cast<char>(va_arg(arguments, int));
        PutPadded(sink, spec, &c, 1);
        break;
      }
      case 's':
        if (spec.wide)
          PutWideString(sink, spec, va_arg(arguments, const char16_t*));
        else
          PutString(sink, spec, va_arg(arguments, const char*));
        break;
      case 'S':
        PutWideString(sink, spec, va_arg(arguments, const char16_t*));
        break;
      case 'Z':
        PutCounted(sink, spec, va_arg(arguments, const CountedString*));
        break;
      case 'd':
      case 'i': {
        const int64_t value = spec.longs >= 2 ? va_arg(arguments, int64_t) : va_arg(arguments, int32_t);
        PutNumber(sink, spec, value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value), 10,
                  value < 0);
        break;
      }
      case 'X':
        spec.upper = true;
        [[fallthrough]];
      case 'x':
      case 'u': {
        const uint64_t value = spec.longs >= 2 ? va_arg(arguments, uint64_t) : va_arg(arguments, uint32_t);
        PutNumber(sink, spec, value, *at == 'u' ? 10 : 16, false);
        break;
      }
      case 'p':
        spec.upper = spec.zero = true;
        spec.width = 16;
        PutNumber(sink, spec, va_arg(arguments, uint64_t), 16, false);
        break;
      default:  // not ours: as it stands; arguments after it can no longer be told apart, so they stay text
                // too
        for (const char* rest = start; *rest != 0; ++rest) sink.Put(*rest);
        *sink.at = 0;
        return static_cast<size_t>(sink.at - buffer);
    }
  }
  *sink.at = 0;
  return static_cast<size_t>(sink.at - buffer);
}

size_t Format(char* buffer, size_t size, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const size_t length = FormatV(buffer, size, format, arguments);
  va_end(arguments);
  return length;
}

}  // namespace ktl
