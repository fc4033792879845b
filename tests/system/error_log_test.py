#!/usr/bin/env python3
"""An entry of the error log is a line of the console log with everything that the driver put into it."""
import harness


class ErrorLog(harness.SystemTest):
    def test_entry_is_a_line(self):
        console = self.sandbox.root / "console.log"
        self.verdict(harness.GUEST / "error_log.sys", "--cpus", 2, "--console", console, expect=harness.EXIT_CLEAN)
        lines = [line for line in console.read_text().splitlines() if "error log:" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(lines[0][lines[0].index("error log:"):],
                         "error log: \\Driver\\error_log device ErrorLogSample: code 0xc004000b, unique value 42, final status "
                         "0xc000009c, major function 0x3, control code 0x0, retries 0, sequence 0, offset 0x0, data 11111111 "
                         "22222222 \"first text\"")


if __name__ == "__main__":
    harness.main()
