#!/usr/bin/env python3
"""Images that must be refused: each gives exit status 5, one line that says why, and leaves nothing behind.

The images are good.sys with a few bytes changed; the checksum is made right again, so that what is refused is the defect.
"""
import struct
import unittest

import harness
from harness import GUEST


def checksum(data, field):
    """The PE checksum: 16-bit words added with carry, the checksum field as zero, plus the length."""
    total = 0
    padded = data + b"\0" * (len(data) % 2)
    for at in range(0, len(padded), 2):
        if field <= at < field + 4:
            continue
        total += padded[at] | padded[at + 1] << 8
        total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + len(data)


class Image:
    def __init__(self, path):
        self.data = bytearray(path.read_bytes())
        self.nt = struct.unpack_from("<I", self.data, 0x3C)[0]
        self.optional = self.nt + 24

    def put(self, offset, form, value):
        struct.pack_into(form, self.data, offset, value)

    def get(self, offset, form):
        return struct.unpack_from(form, self.data, offset)[0]

    def directory(self, index):
        return self.optional + 112 + 8 * index

    def section_offset(self, rva):
        count, size = self.get(self.nt + 6, "<H"), self.get(self.nt + 20, "<H")
        for index in range(count):
            at = self.optional + size + 40 * index
            start, raw_size, raw = self.get(at + 12, "<I"), self.get(at + 16, "<I"), self.get(at + 20, "<I")
            if start <= rva < start + raw_size:
                return raw + rva - start
        raise AssertionError(f"no section holds {rva:#x}")

    def bytes(self, fix_checksum=True):
        if fix_checksum:
            self.put(self.optional + 64, "<I", checksum(bytes(self.data), self.optional + 64))
        return bytes(self.data)


class BadImages(harness.SystemTest):
    def refuse(self, data, says, name="bad.sys"):
        path = self.sandbox.root / name
        path.write_bytes(data)
        result = self.bugcheck("run", path, expect=harness.EXIT_NOT_LOADED)
        self.assert_one_line_error(result)
        self.assertRegex(result.stderr, says)
        self.assert_nothing_left_behind()

    def image(self):
        return Image(GUEST / "good.sys")

    def test_the_checksum_routine_is_right(self):
        image = self.image()
        stored = image.get(image.optional + 64, "<I")
        self.assertEqual(checksum(bytes(image.data), image.optional + 64), stored)

    def test_no_such_file(self):
        result = self.bugcheck("run", self.sandbox.root / "absent.sys")
        self.assertIn(result.returncode, (harness.EXIT_USAGE, harness.EXIT_NOT_LOADED))
        self.assert_one_line_error(result)
        self.assertIn("absent.sys", result.stderr)

    def test_empty_file(self):
        self.refuse(b"", "(?i)image|truncated|PE")

    def test_not_a_pe(self):
        self.refuse(b"This is no driver.\n" * 500, "(?i)image|PE")

    def test_truncated(self):
        data = (GUEST / "good.sys").read_bytes()
        for size in (0x40, 0x100, 0x400, len(data) // 2, len(data) - 100):
            with self.subTest(size=size):
                self.refuse(data[:size], "(?i)image|truncated|PE")

    def test_other_machines(self):
        for machine, name in ((0x14C, "x86|i386|0x14c"), (0xAA64, "(?i)arm64|0xaa64"), (0x1C4, "(?i)arm|0x1c4")):
            with self.subTest(machine=hex(machine)):
                image = self.image()
                image.put(image.nt + 4, "<H", machine)
                self.refuse(image.bytes(), name)

    def test_wrong_subsystem(self):
        image = self.image()
        image.put(image.optional + 68, "<H", 3)
        self.refuse(image.bytes(), "(?i)subsystem|image")

    def test_wrong_checksum(self):
        image = self.image()
        image.put(image.optional + 64, "<I", image.get(image.optional + 64, "<I") ^ 0x5555)
        self.refuse(image.bytes(fix_checksum=False), "(?i)checksum")

    def test_relocations_outside_the_image(self):
        image = self.image()
        relocations = image.directory(5)
        self.assertNotEqual(image.get(relocations, "<I"), 0, "good.sys has no relocations to spoil")
        image.put(image.section_offset(image.get(relocations, "<I")), "<I", 0x7FFFF000)
        self.refuse(image.bytes(), "(?i)relocation|image")

    def test_relocation_block_of_an_impossible_size(self):
        image = self.image()
        image.put(image.section_offset(image.get(image.directory(5), "<I")) + 4, "<I", 0xFFFFFFF0)
        self.refuse(image.bytes(), "(?i)relocation|image")

    def test_tls_is_refused(self):
        image = self.image()
        image.put(image.directory(9), "<I", image.get(image.directory(1), "<I"))
        image.put(image.directory(9) + 4, "<I", 40)
        self.refuse(image.bytes(), "(?i)TLS|thread.local|image")

    def test_import_of_a_missing_module(self):
        image = self.image()
        name = image.data.find(b"ntoskrnl.exe\0")
        self.assertGreater(name, 0)
        image.data[name:name + 12] = b"nosuchmo.sys"
        self.refuse(image.bytes(), "(?i)nosuchmo.sys")


if __name__ == "__main__":
    harness.main()
