#!/usr/bin/env python3
"""Bug check callbacks are called on the crash path; what they add is in the dump; one that faults costs nothing.
Callbacks without a reason run when the dump is written."""
import struct

import harness

GUID = struct.pack("<IHH8B", 0x12345678, 0x9ABC, 0xDEF0, 1, 2, 3, 4, 5, 6, 7, 8)
PARTS = struct.pack("<I", 0x87654321) + GUID[4:]


class CrashCallbacks(harness.SystemTest):
    def test_callbacks_are_called_and_add_to_the_dump(self):
        console = self.sandbox.root / "console.log"
        self.verdict(harness.GUEST / "crash_callbacks.sys", "--cpus", 2, "--console", console, expect=harness.EXIT_BUGCHECK)
        text = console.read_text()
        self.assertEqual(text.count("crash_callbacks: plain 1 at IRQL 15"), 1, text)
        self.assertEqual(text.count("*** bug check 0x0000000A in a driver's bug check callback"), 2, text)
        dump = (self.sandbox.root / "memory.dmp").read_bytes()
        self.assertEqual(struct.unpack_from("<I", dump, 0x38)[0], 0xE2)
        first_page, pages, bits = struct.unpack_from("<3Q", dump, 0x2020)
        blob = dump[first_page + pages * 0x1000:]
        self.assertEqual(blob[:8], b"DumpBlob")
        header_size, build = struct.unpack_from("<2I", blob, 8)
        self.assertEqual((header_size, build & 0xF0000000), (0x10, 0xF0000000))
        block, tag, size, before, after = struct.unpack_from("<I16s3I", blob, 0x10)
        self.assertEqual((block, tag, size, before), (0x20, GUID, 11, 0))
        self.assertEqual(blob[0x30:0x30 + size], b"tagged data")
        # The second tag's three parts are one block.
        parts = blob[0x30 + size + after:]
        block, tag, size, before, after = struct.unpack_from("<I16s3I", parts)
        self.assertEqual((block, tag, size, before), (0x20, PARTS, 17, 0))
        self.assertEqual(parts[0x20:0x20 + size], b"first secondthird")
        self.assertEqual(len(parts), 0x20 + size + after)
        # The page that was asked for: bit 1 of the bitmap.
        self.assertTrue(dump[0x2038] & 2)
        self.assertEqual(sum(byte.bit_count() for byte in dump[0x2038:0x2038 + bits // 8]), pages)
        # The file's own bytes may be in memory too: one of the places is the running driver's.
        text = b"what the callbacks have seen\0"
        seen, at = [], dump.find(text)
        while at >= 0:
            seen.append(struct.unpack_from("<6I", dump, at + 32))
            at = dump.find(text, at + 1)
        self.assertIn((1, 0, 0x2000, pages, len(blob), 1), seen)
        self.assertIn(bytes(c ^ 1 for c in b"a page of the process that triage data asks for"), dump)
        result = self.bugcheck("debug", "-c", ".enumtag", self.sandbox.root / "memory.dmp", expect=0, timeout=60)
        self.assertIn("{12345678-9ABC-DEF0-0102-030405060708} - 0xb bytes", result.stdout)
        self.assertRegex(result.stdout, r"\{87654321-[0-9A-F-]+\} - 0x11 bytes\n +66 69 72 .* first secondthir\n +64 +d\n")
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
