#!/usr/bin/python3
"""Clients that were built against an earlier inference.proto still work:
rpc/proto/inference.fields lists what they know, and nothing on that list may go,
or change its number, type or name.

Usage: proto_compatibility_test.py            compares
       proto_compatibility_test.py --write    adds what is new to the list
"""

import re
import sys

PROTO = "rpc/proto/inference.proto"
FIELDS = "rpc/proto/inference.fields"

BLOCK = re.compile(r"(message|enum|service|oneof)\s+(\w+)\s*\{")
FIELD = re.compile(r"(?:(optional|repeated|required)\s+)?([\w.]+|map<[^>]+>)\s+"
                   r"(\w+)\s*=\s*(\d+)\s*(\[[^\]]*\])?\s*;")
VALUE = re.compile(r"(\w+)\s*=\s*(-?\d+)\s*;")
RPC = re.compile(r"rpc\s+(\w+)\s*\(([^)]*)\)\s*returns\s*\(([^)]*)\)\s*;")


def describe(text):
    """One line for each field, value and method."""
    text = re.sub(r"//[^\n]*", "", text)
    lines, path, kinds, at = [], [], [], 0
    while at < len(text):
        for pattern in (BLOCK, RPC, FIELD, VALUE):
            found = pattern.match(text, at)
            if not found or (pattern is VALUE and kinds[-1:] != ["enum"]) or (
                    pattern is FIELD and not path):
                continue
            at = found.end()
            if pattern is BLOCK:
                kinds.append(found[1])
                path.append(found[2])
            elif pattern is RPC:
                lines.append(f"{path[-1]}.{found[1]} ({found[2]}) -> "
                             f"({found[3]})")
            elif pattern is FIELD:
                owner = ".".join(name for name, kind in zip(path, kinds)
                                 if kind != "oneof")
                label = "oneof" if kinds[-1] == "oneof" else found[1]
                lines.append(f"{owner}.{found[3]} = {found[4]} {label} "
                             f"{found[2]}")
            else:
                lines.append(f"{'.'.join(path)}.{found[1]} = {found[2]}")
            break
        else:
            if text[at] == "}":
                path.pop()
                kinds.pop()
            at += 1
    return sorted(lines)


def main():
    with open(PROTO) as file:
        now = describe(file.read())
    if sys.argv[1:] == ["--write"]:
        with open(FIELDS, "w") as file:
            file.write("\n".join(now) + "\n")
        return 0
    with open(FIELDS) as file:
        known = file.read().splitlines()
    gone = [line for line in known if line not in now]
    new = [line for line in now if line not in known]
    for line in gone:
        print(f"FAILED: clients rely on: {line}")
    for line in new:
        print(f"FAILED: not in {FIELDS} yet: {line}")
    assert len(known) > 50 and len(known) == len(set(known)), known
    print(f"{len(known)} fields, values and methods compared")
    return 1 if gone or new else 0


if __name__ == "__main__":
    sys.exit(main())
