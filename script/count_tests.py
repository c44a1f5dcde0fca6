"""Count the tests of a pytest report: print how many passed and how many did not, and write down what did not.

    count_tests.py PART REPORT FAILURES

REPORT is pytest's --junitxml. A test that was skipped counts as failed, and so does a report without a test.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree


def main() -> None:
    """Read the report, append to the file of failures, and print two numbers."""
    part, report, failures = sys.argv[1:]
    try:
        cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest has written it
    except (OSError, ElementTree.ParseError):
        cases = []
    bad = [(case, result) for case in cases for result in case if result.tag in {"failure", "error", "skipped"}]
    with Path(failures).open("a", encoding="utf-8") as file:
        for case, result in bad:
            message = " ".join((result.get("message") or "").split())[:300]
            print(f"{part}: {case.get('classname')}.{case.get('name')}: {result.tag}: {message}", file=file)
        if not cases:
            print(f"{part}: no test ran", file=file)
    print(max(len(cases) - len(bad), 0), len(bad) if cases else 1)


if __name__ == "__main__":
    main()
