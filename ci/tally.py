"""Prints the sum of several pytest runs, from their JUnit XML reports, as one line.

Usage: tally.py REPORT...; exits 1 when a report is missing, when a test failed, or when none ran.
"""

import sys
import xml.etree.ElementTree as ElementTree


def main(reports: list[str]) -> int:
    total = failed = skipped = 0
    try:
        for report in reports:
            for suite in ElementTree.parse(report).iter("testsuite"):
                total += int(suite.get("tests", 0))
                failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                skipped += int(suite.get("skipped", 0))
    except (OSError, ElementTree.ParseError) as error:
        print(f"tally.py: a test run left no readable report: {error}", file=sys.stderr)
        return 1
    passed = total - failed - skipped
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
