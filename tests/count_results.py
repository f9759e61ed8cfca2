#!/usr/bin/python3
"""Adds up the test cases of one `bazel test` from its build events.

Reads the test.xml that each test wrote (one case per GoogleTest test, one for a
script), prints "N passed, N failed", and exits with 1 when anything failed or
nothing ran.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree


def cases(path):
    """(passed, failed) of one test.xml."""
    passed = failed = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.get("status") == "notrun" or case.find("skipped") is not None:
            continue
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        else:
            passed += 1
    return passed, failed


def main():
    text = open(sys.argv[1], encoding="utf-8").read()
    passed = failed = 0
    for result in re.findall(r"\ntest_result \{.*?\n\}", text, re.S):
        status = re.search(r"\n  status: (\w+)", result)
        xml = re.search(r'name: "test.xml"\s+uri: "file://([^"]+)"', result)
        good, bad = (0, 0)
        if xml:
            try:
                good, bad = cases(xml.group(1))
            except (OSError, ElementTree.ParseError):
                pass
        if status and status.group(1) != "PASSED" and bad == 0:
            bad = 1  # crashed, or ran out of time
        if status and status.group(1) == "PASSED" and good == 0:
            good = 1
        passed += good
        failed += bad
    failed += len(re.findall(r"overall_status: (?:FAILED_TO_BUILD|NO_STATUS)",
                             text))
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
