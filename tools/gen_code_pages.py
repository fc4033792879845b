#!/usr/bin/env python3
"""Generates kernel/rtl/code_pages.inc: code pages 1252 (ANSI) and 437 (OEM) and what they make of characters they lack.

usage: gen_code_pages.py > kernel/rtl/code_pages.inc

The pages come from Python's codecs; the five holes of 1252 keep their value. The best fit of 1252 is Microsoft's table as the
Unicode Consortium publishes it (bestfit1252.txt): its Latin letters are those whose canonical decomposition begins with an
ASCII letter, the rest stands in BEST_FIT_1252. For 437 no such table is published: a character that it lacks is looked for
by its best fit in 1252, then by the first letter of its decomposition; the graphics of the control characters map to those.
"""
import unicodedata

# Byte of 1252: the characters that become it.
BEST_FIT_1252 = {
    0x20: "2000 2001 2002 2003 2004 2005 2006 3000", 0x21: "01C3", 0x22: "02BA 030E", 0x25: "066A",
    0x27: "02B9 02BC 02C8 2032", 0x28: "2320", 0x29: "2321", 0x2A: "2217",
    0x2B: "250C 2510 2514 2518 251C 253C 2552 2553 2554 2555 2556 2557 2558 2559 255A 255B 255C 255D 256A 256B 256C",
    0x2D: "2010 2011 2212 2500 252C 2534 2550 2564 2565 2566 2567 2568 2569", 0x2F: "2044 2215", 0x30: "2080",
    0x31: "2081", 0x32: "2082", 0x33: "2083", 0x34: "2074 2084", 0x35: "2075 2085", 0x36: "2076 2086", 0x37: "2077 2087",
    0x38: "2078 2088 221E", 0x39: "2089", 0x3A: "0589 2236", 0x3B: "037E", 0x3C: "2329 3008", 0x3D: "2017 2261 2264 2265",
    0x3E: "232A 3009", 0x42: "212C", 0x43: "2102 212D", 0x45: "2107 2130", 0x46: "03A6 2131", 0x47: "01E4 0393",
    0x48: "0126 210B 210C 210D", 0x49: "0197 2110 2111", 0x4B: "212A", 0x4C: "0141 2112", 0x4D: "2133", 0x4E: "2115",
    0x4F: "019F 03A9", 0x50: "20A7 2118 2119", 0x51: "211A", 0x52: "211B 211C 211D", 0x53: "03A3", 0x54: "0166 01AE 0398",
    0x5A: "2124 2128", 0x5B: "301A", 0x5C: "2216", 0x5D: "301B", 0x5E: "02C4 0302 2303", 0x5F: "02CD 0331 0332 2584",
    0x60: "02CB 0300 2035", 0x61: "03B1", 0x62: "0180", 0x64: "0111 03B4", 0x65: "03B5 212E 212F", 0x66: "03C6",
    0x67: "01E5 0261 210A", 0x68: "0127 04BB 210E", 0x69: "0131", 0x6C: "0142 019A 2113", 0x6E: "207F 2229", 0x6F: "2134",
    0x70: "03C0", 0x73: "03C3", 0x74: "0167 01AB 03C4", 0x76: "221A", 0x7A: "01B6", 0x7C: "01C0 2223 2758",
    0x7E: "0303 223C", 0x83: "0191", 0x98: "2248", 0xA2: "20A1", 0xA3: "20A4", 0xA4: "263C",
    0xA6: "2302 2502 2524 2551 255E 255F 2560 2561 2562 2563 2588 258C 2590 2591 2592 2593 25A0", 0xA8: "0308",
    0xAB: "226A 300A", 0xAC: "2310", 0xAF: "02C9 0304 0305 2580", 0xB0: "02DA 030A 2070 2218", 0xB1: "2213",
    0xB4: "02CA 0301", 0xB5: "03BC", 0xB7: "2024 2219 22C5 30FB", 0xB8: "0327", 0xBB: "226B 300B", 0xC5: "212B",
    0xD0: "0110 0189", 0xD8: "2205", 0xDF: "03B2",
}
NOT_FITTED = (0x1E0, 0x1E1)  # letters that Microsoft's table passes over

# The graphics that the IBM PC shows for the bytes 1 to 31 and 127.
CONTROL_GRAPHICS_437 = ("263A 263B 2665 2666 2663 2660 2022 25D8 25CB 25D9 2642 2640 266A 266B 263C 25BA 25C4 2195 203C 00B6 "
                        "00A7 25AC 21A8 2191 2193 2192 2190 221F 2194 25B2 25BC")


def page(codec):
    return [ord(bytes([byte]).decode(codec)) if decodes(byte, codec) else byte for byte in range(256)]


def decodes(byte, codec):
    try:
        bytes([byte]).decode(codec)
        return True
    except UnicodeDecodeError:
        return False


def best_fit_1252(own):
    fit = {}
    for unit in range(0x100, 0x1F1):
        letters = unicodedata.normalize("NFD", chr(unit))
        if len(letters) > 1 and letters[0].isascii() and unit not in own and unit not in NOT_FITTED:
            fit[unit] = ord(letters[0])
    fit.update({unit: unit - 0xFEE0 for unit in range(0xFF01, 0xFF5F)})
    fit.update({int(unit, 16): byte for byte, units in BEST_FIT_1252.items() for unit in units.split()})
    return fit


def best_fit_437(own, ansi, ansi_fit):
    graphics = [int(unit, 16) for unit in CONTROL_GRAPHICS_437.split()]
    fit = {unit: index + 1 for index, unit in enumerate(graphics) if unit not in own}
    fit.setdefault(0x2302, 0x7F)
    for unit in sorted(set(range(0xA0, 0x100)) | set(ansi) | set(ansi_fit)):
        near = ansi[ansi_fit[unit]] if unit in ansi_fit else unit
        base = ord(unicodedata.normalize("NFKD", chr(near))[0])
        for candidate in (near, base):
            if unit not in own and unit not in fit and candidate in own and (candidate != 0x20 or near == 0x20):
                fit[unit] = own.index(candidate)
    return fit


def numbers(name, kind, items):
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 108:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)
    print("};")


def encoder(own, fit):
    pairs = {unit: byte for byte, unit in enumerate(own) if unit >= 0x80}
    pairs.update(fit)
    return [f"{{0x{unit:04X}, 0x{byte:02X}}}" for unit, byte in sorted(pairs.items())]


ANSI = page("cp1252")
OEM = page("cp437")
ANSI_FIT = best_fit_1252(ANSI)
print("// Generated by tools/gen_code_pages.py. Encoders ascend by unit; ASCII is not in them.")
numbers("kAnsiHigh", "unsigned short", [f"0x{unit:04X}" for unit in ANSI[128:]])
numbers("kOemHigh", "unsigned short", [f"0x{unit:04X}" for unit in OEM[128:]])
numbers("kToAnsi", "Encoded", encoder(ANSI, ANSI_FIT))
numbers("kToOem", "Encoded", encoder(OEM, best_fit_437(OEM, ANSI, ANSI_FIT)))
