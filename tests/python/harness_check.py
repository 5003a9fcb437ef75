"""The harness itself: a child that fails must fail its test."""
import sys

import harness


class Child(harness.Case):
    def child(self, code):
        return harness.Child(sys.executable, "-c", code)

    def test_good(self):
        child = self.child("print('a line'); print('another')")
        self.assertEqual(child.wait_line("^a(.*)$")[1], " line")
        child.wait_line("^another$")
        self.assertEqual(child.wait(0), "")

    def test_exit_code(self):
        with self.assertRaisesRegex(AssertionError, "ended with 3, not 0"):
            self.child("exit(3)").wait(0)

    def test_sanitizers(self):
        for text in ("==1==ERROR: AddressSanitizer: heap-use-after-free",
                     "==1==ERROR: LeakSanitizer: detected memory leaks",
                     "WARNING: ThreadSanitizer: data race", "x.c:1:2: runtime error: overflow"):
            with self.assertRaisesRegex(AssertionError, "ended with 0"):
                self.child(f"import sys; sys.stderr.write({text!r})").wait(0)

    def test_a_line_that_does_not_come(self):
        child = self.child("print('something else')")
        with self.assertRaisesRegex(AssertionError, "no line with 'wanted'"):
            child.wait_line("wanted")
        child.wait(0)

    def test_a_server_that_died_fails_its_test(self):
        class Inner(harness.Case):
            def runTest(self):
                server = self.serve("peer-server")
                server.process.kill()
                server.process.wait()
        result = Inner().run()
        self.assertEqual(len(result.errors) + len(result.failures), 1)


if __name__ == "__main__":
    harness.main()
