#!/usr/bin/env python3
"""Events that a driver writes with EtwWrite reach the host's trace file, whole and in order; a filter keeps messages out."""
import re

import harness

EVENT = re.compile(r"^(\d+) \d+\.\d{7} cpu=\d+ pid=4 tid=\d+ provider=\{11223344-5566-7788-99aa-bbccddeeff00\} id=7 version=1 "
                   r"channel=0 level=(\d) opcode=2 task=3 keyword=0x8000000000000010 size=(\d+)(.*)$")


class Trace(harness.SystemTest):
    def trace(self, *options):
        path = self.sandbox.root / "events.txt"
        self.verdict(harness.GUEST / "trace.sys", "--cpus", 2, "--trace", path, *options, expect=harness.EXIT_CLEAN)
        return path.read_text().splitlines() if path.exists() else None

    def test_events_arrive(self):
        lines = self.trace()
        events = [EVENT.match(line) for line in lines if EVENT.match(line)]
        self.assertEqual([(match[2], match[3]) for match in events], [("4", "105"), ("5", "0")], lines)
        self.assertEqual(events[0][4], " activity={00000001-0002-0003-0405-060708090a0b}"
                                       " related={11223344-5566-7788-99aa-bbccddeeff00}")
        self.assertEqual(events[1][4], "")
        data = [line.split(" ", 1)[1] for line in lines if line.startswith(events[0][1] + "+")]
        hexadecimal = " ".join(part.split(" |")[0] for part in data)
        self.assertEqual(bytes.fromhex(hexadecimal), b"Hello" + bytes(range(100)))
        self.assertTrue(data[0].split(" |")[1].startswith("Hello....."), data)

    def test_without_events_there_is_no_file(self):
        path = self.sandbox.root / "events.txt"
        path.write_text("of an earlier run")
        self.verdict(harness.GUEST / "good.sys", "--cpus", 2, "--trace", path, expect=harness.EXIT_CLEAN)
        self.assertFalse(path.exists())


if __name__ == "__main__":
    harness.main()
