#!/usr/bin/python3
"""Files as a C++ source: embed.py OUT.cc FILE... defines Asset(name)."""

import os
import sys


def literal(data):
    """Octal escapes where a character could mean something to the compiler."""
    lines = []
    for line in data.splitlines(keepends=True):
        text = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\?'
                       else f"\\{byte:03o}" for byte in line)
        lines.append(f'    "{text}"')
    return "\n".join(lines)


def main():
    out, files = sys.argv[1], sys.argv[2:]
    with open(out, "w") as source:
        source.write('#include "rpc/page/assets.h"\n\nnamespace facet {\n\n'
                     "absl::string_view Asset(absl::string_view name) {\n")
        for path in files:
            with open(path, "rb") as file:
                data = file.read()
            source.write(f'  if (name == "{os.path.basename(path)}") {{\n'
                         f"    static constexpr char kBytes[] =\n"
                         f"{literal(data)};\n"
                         f"    return absl::string_view(kBytes, {len(data)});\n"
                         "  }\n")
        source.write("  return absl::string_view();\n}\n\n}  // namespace facet\n")


if __name__ == "__main__":
    main()
