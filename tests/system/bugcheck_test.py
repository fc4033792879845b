#!/usr/bin/env python3
"""A driver that calls KeBugCheckEx: code and parameters reach verdict and dump unchanged, on any number of processors."""
import struct

import harness


class KeBugCheck(harness.SystemTest):
    def test_code_and_parameters_reach_verdict_and_dump(self):
        expected = [0x1111, 0x2222, 0x3333, 0xFFFFFFFF44444444]
        for cpus in (1, 2, 6):
            with self.subTest(cpus=cpus):
                verdict = self.verdict(harness.GUEST / "stop.sys", "--cpus", cpus, expect=harness.EXIT_BUGCHECK)
                self.assertEqual(int(verdict["bugcheck"]["code"], 16), 0xE2)
                self.assertEqual([int(value, 16) for value in verdict["bugcheck"]["parameters"]], expected)
                header = (self.sandbox.root / "memory.dmp").read_bytes()[:0x2000]
                self.assertEqual(struct.unpack_from("<I", header, 0x38)[0], 0xE2)
                self.assertEqual(list(struct.unpack_from("<4Q", header, 0x40)), expected)
                self.assertEqual(struct.unpack_from("<I", header, 0x34)[0], cpus)
        self.assert_nothing_left_behind()


if __name__ == "__main__":
    harness.main()
