"""What volatility3, kdmp-parser and MemProcFS need of a crash dump, checked on dumps of a real crash.

The readers themselves are not Debian packages; each case states one requirement of theirs that decides whether they open
the dump, in the way they check it (public behaviour of their releases of 2024-2025), on the full (type 1) and the kernel
(type 5) dump. Not met, and therefore not checked: MemProcFS wants more than ten processes, smss.exe with a PEB among them;
this machine runs Idle and System only.
"""
import json
import pathlib
import re
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "system"))
from harness import GUEST, EXIT_BUGCHECK, PROGRAM, Sandbox, skip  # noqa: E402

PAGE = 4096
SELF_MAP_INDEX = 0x1ED
PRESENT, WRITE, USER, LARGE, NO_EXECUTE = 1, 2, 4, 0x80, 1 << 63
PFN_MASK = 0x000FFFFFFFFFF000


class Dump:
    """Physical memory of a type 1 or type 5 dump."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.type = self.u32(0xF98)
        self.pages = {}
        if self.type == 1:
            offset = 0x2000
            for run in range(self.u32(0x88)):
                base, count = struct.unpack_from("<QQ", self.data, 0x98 + 16 * run)
                for pfn in range(base, base + count):
                    self.pages[pfn] = offset
                    offset += PAGE
        else:
            first, present, bits = struct.unpack_from("<QQQ", self.data, 0x2020)
            self.first_page, self.present, self.bits = first, present, bits
            offset = first
            for pfn in range(bits):
                if self.data[0x2038 + pfn // 8] >> (pfn % 8) & 1:
                    self.pages[pfn] = offset
                    offset += PAGE
        self.end = offset

    def u32(self, offset):
        return struct.unpack_from("<I", self.data, offset)[0]

    def u64(self, offset):
        return struct.unpack_from("<Q", self.data, offset)[0]

    def page(self, physical):
        offset = self.pages.get(physical // PAGE)
        return None if offset is None else self.data[offset:offset + PAGE]

    def entries(self, physical):
        return struct.unpack("<512Q", self.page(physical & PFN_MASK))

    def translate(self, va):
        entry = self.u64(0x10) & PFN_MASK
        for shift in (39, 30, 21, 12):
            page = self.page(entry & PFN_MASK)
            if page is None:
                return None
            entry = struct.unpack_from("<Q", page, ((va >> shift) & 511) * 8)[0]
            if not entry & PRESENT:
                return None
            if entry & LARGE and shift in (30, 21):
                size = 1 << shift
                return (entry & PFN_MASK & ~(size - 1)) | (va & (size - 1))
        return (entry & PFN_MASK) | (va & (PAGE - 1))

    def read(self, va, size):
        out = b""
        while size:
            physical = self.translate(va)
            page = None if physical is None else self.page(physical)
            if page is None:
                return None
            part = page[va % PAGE:va % PAGE + size]
            out += part
            va += len(part)
            size -= len(part)
        return out

    def read_u64(self, va):
        return struct.unpack("<Q", self.read(va, 8))[0]


def sections(dump, base):
    header = base + struct.unpack("<I", dump.read(base + 0x3C, 4))[0]
    count = struct.unpack("<H", dump.read(header + 6, 2))[0]
    optional = struct.unpack("<H", dump.read(header + 20, 2))[0]
    table = dump.read(header + 24 + optional, 40 * count)
    return [table[40 * i:40 * i + 8].rstrip(b"\0") for i in range(count)]


class SymbolsForVolatility(unittest.TestCase):
    """What `bugcheck symbols --isf` must say of our kernel for windows.info, pslist, modules and threads."""

    def test_isf(self):
        output = subprocess.run([PROGRAM, "symbols", "--isf", GUEST / "ntkrnlmp.pdb"], capture_output=True, check=True).stdout
        isf = json.loads(output)
        self.assertEqual(isf["metadata"]["windows"]["pdb"]["database"], "ntkrnlmp.pdb")
        for name in ("PsActiveProcessHead", "PsLoadedModuleList", "KdDebuggerDataBlock", "KdVersionBlock",
                     "KeNumberProcessors", "NtBuildLab"):
            self.assertGreater(isf["symbols"][name]["address"], 0, name)
        # Made into objects by these names.
        for name in ("pointer", "unsigned int", "unsigned long long", "unsigned short", "char"):
            self.assertIn(name, isf["base_types"])
        # Given behaviour by name when the table is loaded: one that is missing makes it refuse the table.
        for name in ("_ETHREAD", "_KTHREAD", "_LIST_ENTRY", "_EPROCESS", "_UNICODE_STRING", "_EX_FAST_REF", "_TOKEN",
                     "_OBJECT_HEADER", "_FILE_OBJECT", "_DEVICE_OBJECT", "_CM_KEY_BODY", "_CMHIVE", "_CM_KEY_NODE",
                     "_CM_KEY_VALUE", "_HMAP_ENTRY", "_MMVAD_SHORT", "_MMVAD", "_KSYSTEM_TIME", "_KMUTANT",
                     "_DRIVER_OBJECT", "_OBJECT_SYMBOLIC_LINK", "_CONTROL_AREA", "_SHARED_CACHE_MAP", "_VACB",
                     "_POOL_TRACKER_BIG_PAGES", "_IMAGE_DOS_HEADER", "_KTIMER"):
            self.assertIn(name, isf["user_types"])
        types = isf["user_types"]
        shared = types["_KUSER_SHARED_DATA"]["fields"]
        self.assertEqual([shared[f]["offset"] for f in ("SystemTime", "NtSystemRoot", "NtProductType", "NtMajorVersion")],
                         [0x14, 0x30, 0x264, 0x26C])
        self.assertEqual(types["_DBGKD_GET_VERSION64"]["fields"]["MachineType"]["offset"], 8)
        self.assertIn("InLoadOrderLinks", types["_KLDR_DATA_TABLE_ENTRY"]["fields"])


class Needs:
    """The cases, run once for each kind of dump."""
    dump = None

    def header_page_tables(self):
        return self.dump.entries(self.dump.u64(0x10))

    def test_signature_and_machine(self):
        self.assertEqual(self.dump.data[:8], b"PAGEDU64")
        self.assertEqual(self.dump.u32(0x30), 0x8664)

    def test_kdmp_parser_accepts_the_context(self):
        # MxCsr stands twice in a CONTEXT; the parser takes a difference for a corrupt header.
        self.assertEqual(self.dump.u32(0x348 + 0x34), self.dump.u32(0x348 + 0x118))
        self.assertNotEqual(self.dump.u32(0x348 + 0x34), 0)

    def test_pages_end_with_the_file(self):
        self.assertEqual(self.dump.end, len(self.dump.data))

    def test_header_describes_itself(self):
        self.assertEqual(self.dump.u64(0xFA0), len(self.dump.data))

    def test_volatility_finds_the_page_directory(self):
        # It scans physical pages 0x30000..0x1030000 for a PML4 whose one self-reference is entry 0x1ED.
        found = []
        highest = max(self.dump.pages)
        for pfn in range(0x30, 0x1030):
            page = self.dump.page(pfn * PAGE)
            if page is None or struct.unpack_from("<Q", page, SELF_MAP_INDEX * 8)[0] & (PFN_MASK | PRESENT) != pfn * PAGE | PRESENT:
                continue
            entries = struct.unpack("<512Q", page)
            present = [e for e in entries if e & PRESENT]
            own = [e for e in present if (e & PFN_MASK) == pfn * PAGE]
            if len(own) == 1 and not any(e & LARGE for e in present) and all((e & PFN_MASK) // PAGE <= highest for e in present):
                found.append(pfn * PAGE)
        self.assertIn(self.dump.u64(0x10) & PFN_MASK, found)

    def test_volatility_finds_the_kernel_through_kdbg(self):
        block = self.dump.u64(0x80)
        self.assertEqual(self.dump.read(block + 0x10, 4), b"KDBG")
        base = self.dump.read_u64(block + 0x18)
        self.assertEqual(self.dump.read(base, 2), b"MZ")
        # windows.info follows both without asking whether they are there: NtBuildLab and CmNtCSDVersion.
        for offset in (0x208, 0x268):
            self.assertIsNotNone(self.dump.read(self.dump.read_u64(block + offset), 4), hex(offset))

    def test_kernel_names_its_symbols(self):
        base = self.dump.read_u64(self.dump.u64(0x80) + 0x18)
        image = b"".join(self.dump.read(base + offset, PAGE) or bytes(PAGE) for offset in range(0, 4 << 20, PAGE))
        # volatility's scan passes over records of other names: the kernel carries ntdll.dll and a program.
        names = re.findall(rb"RSDS.{20}(ntkrnlmp|ntkrnlpa|ntkrpamp|ntoskrnl)\.pdb\0", image, re.DOTALL)
        self.assertEqual(names, [b"ntkrnlmp"])

    def test_volatility_lists(self):
        # The lists of processes and modules start where header and KDBG say, and close.
        block = self.dump.u64(0x80)
        for header, kdbg in ((0x20, 0x48), (0x28, 0x50)):
            head = self.dump.u64(header)
            self.assertEqual(self.dump.read_u64(block + kdbg), head)
            entry, count = self.dump.read_u64(head), 0
            while entry != head:
                count += 1
                self.assertLess(count, 1000)
                self.assertEqual(self.dump.read_u64(self.dump.read_u64(entry) + 8), entry)
                entry = self.dump.read_u64(entry)
            self.assertGreater(count, 0)

    def test_shared_user_data_is_mapped(self):
        page = self.dump.read(0xFFFFF78000000000, PAGE)
        self.assertIsNotNone(page)
        self.assertEqual(struct.unpack_from("<II", page, 0x26C), (10, 0))  # NtMajorVersion, NtMinorVersion

    def test_memprocfs_accepts_the_page_directory(self):
        entries = self.header_page_tables()
        kernel = [e for e in entries[256:] if e & PRESENT and e & WRITE and not e & USER and not e & NO_EXECUTE and not e & LARGE]
        self.assertGreaterEqual(len(kernel), 6)
        self.assertGreater(sum(e == 0 for e in entries[:256]), 0x40)
        self.assertGreater(sum(e == 0 for e in entries[256:]), 0x40)
        self.assertEqual(sum((e & PFN_MASK) == (self.dump.u64(0x10) & PFN_MASK) for e in entries if e & PRESENT), 1)

    def test_memprocfs_finds_the_kernel(self):
        # From PsActiveProcessHead back by at most 32 MiB in steps of 2 MiB to an image with a section POOLCODE.
        at = self.dump.u64(0x28) & ~0x1FFFFF
        for _ in range(17):
            if self.dump.read(at, 2) == b"MZ":
                break
            at -= 0x200000
        else:
            self.fail("no image within 32 MiB")
        self.assertIn(b"POOLCODE", sections(self.dump, at))

    def test_processor_contexts_are_found_through_kdbg(self):
        block = self.dump.u64(0x80)
        processors = self.dump.u32(0x34)
        context_offset = struct.unpack("<H", self.dump.read(block + 0x338, 2))[0]
        table = self.dump.read_u64(block + 0x218)
        for index in range(processors):
            prcb = self.dump.read_u64(table + 8 * index)
            context = self.dump.read_u64(prcb + context_offset)
            rip = self.dump.read_u64(context + 0xF8)
            self.assertGreater(rip, 0xFFFF800000000000, f"processor {index}")


class FullDump(Needs, unittest.TestCase):
    def test_type(self):
        self.assertEqual(self.dump.type, 1)


class KernelDump(Needs, unittest.TestCase):
    def test_type(self):
        self.assertEqual(self.dump.type, 5)
        self.assertIn(self.dump.data[0x2000:0x2008], (b"FDMPDUMP", b"SDMPDUMP"))

    def test_leechcore_accepts_the_bitmap(self):
        self.assertEqual(self.dump.first_page % PAGE, 0)
        self.assertLessEqual(self.dump.first_page, 0x1000000)
        self.assertEqual(self.dump.bits % 64, 0)
        self.assertEqual(self.dump.present, len(self.dump.pages))


def main():
    driver = GUEST / "spinlock.sys"
    if not driver.exists():
        skip("the spin-lock sample is not built")
    sandbox = Sandbox()
    try:
        for case, kind in ((FullDump, "full"), (KernelDump, "kernel")):
            path = sandbox.root / f"{kind}.dmp"
            result = sandbox.run("run", "--dump", path, "--dump-type", kind, driver)
            if result.returncode != EXIT_BUGCHECK:
                sys.exit(f"expected a bug check, got {result.returncode}\n{result.stdout}\n{result.stderr}")
            case.dump = Dump(path)
        unittest.main(verbosity=2)
    finally:
        sandbox.close()


if __name__ == "__main__":
    main()
