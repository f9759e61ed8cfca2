#!/usr/bin/python3
"""A binary holds machine code for every architecture that it claims."""

import struct
import sys
import unittest

MAGIC = struct.pack("<I", 0xBA55ED50)
PTX, MACHINE_CODE = 1, 2
EXPECTED = {(MACHINE_CODE, 80), (MACHINE_CODE, 90), (MACHINE_CODE, 100),
            (PTX, 100)}


def entries(binary):
    """(kind, architecture) of every part of every fat binary in the file."""
    found = set()
    at = binary.find(MAGIC)
    while at >= 0:
        version, header, size = struct.unpack_from("<HHQ", binary, at + 4)
        end = at + header + size
        part = at + header
        while part < end:
            kind, _, part_header, part_size = struct.unpack_from(
                "<HHIQ", binary, part)
            (arch,) = struct.unpack_from("<I", binary, part + 28)
            if kind not in (PTX, MACHINE_CODE) or part_header == 0:
                break
            found.add((kind, arch))
            part += part_header + part_size
        at = binary.find(MAGIC, at + 4)
    return found


class BinaryArchitecturesTest(unittest.TestCase):

    def test_all_architectures_are_there(self):
        with open(BINARY, "rb") as file:
            found = entries(file.read())
        print("architectures:", sorted(found))
        self.assertEqual(found & EXPECTED, EXPECTED)


if __name__ == "__main__":
    BINARY = sys.argv.pop(1)
    unittest.main()
