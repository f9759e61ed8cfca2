"""Writing of GGUF files, version 3, the format that llama.cpp reads.

A file is a header, typed key-value pairs, one entry per tensor and, from the
next multiple of 32 bytes on, the tensors' bytes, each at a multiple of 32.
Dimensions are listed with the one that is contiguous in memory first.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import dataclasses
import struct

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32

# Types of values.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_FORMATS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}

# Types of tensors.
F32, BF16 = 0, 30
_TENSOR_BYTES = {F32: 4, BF16: 2}

_CHUNK_BYTES = 1 << 24


@dataclasses.dataclass(frozen=True)
class TensorEntry:
    name: str
    type: int
    shape: tuple  # outermost dimension first, as in the checkpoint
    data: object  # bytes-like, or a function that gives them

    def size(self):
        count = 1
        for extent in self.shape:
            count *= extent
        return count * _TENSOR_BYTES[self.type]


def _string(text):
    encoded = text.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded


def _scalar(kind, value):
    if kind == STRING:
        return _string(value)
    return struct.pack(_FORMATS[kind], value)


def _pair(key, kind, value):
    parts = [_string(key)]
    if isinstance(value, (list, tuple)):
        parts.append(struct.pack("<IIQ", ARRAY, kind, len(value)))
        parts.extend(_scalar(kind, element) for element in value)
    else:
        parts.append(struct.pack("<I", kind))
        parts.append(_scalar(kind, value))
    return b"".join(parts)


def _aligned(offset):
    return (offset + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def _write_in_chunks(out, data):
    view = memoryview(data).cast("B")
    for begin in range(0, len(view), _CHUNK_BYTES):
        out.write(view[begin:begin + _CHUNK_BYTES])


def write(path, pairs, entries):
    """Writes `pairs`, of (key, type, value or list of values), and `entries`.

    Takes one tensor into memory at a time. Raises ValueError where the bytes of
    a tensor are not as many as its shape says.
    """
    with open(path, "wb") as out:
        out.write(MAGIC)
        out.write(struct.pack("<IQQ", VERSION, len(entries), len(pairs)))
        for key, kind, value in pairs:
            out.write(_pair(key, kind, value))
        offset = 0
        for entry in entries:
            out.write(_string(entry.name))
            out.write(struct.pack("<I", len(entry.shape)))
            out.write(struct.pack(f"<{len(entry.shape)}Q",
                                  *reversed(entry.shape)))
            out.write(struct.pack("<IQ", entry.type, offset))
            offset = _aligned(offset + entry.size())
        for entry in entries:
            out.write(bytes(_aligned(out.tell()) - out.tell()))
            data = entry.data() if callable(entry.data) else entry.data
            if len(data) != entry.size():
                raise ValueError(
                    f"{entry.name}: {len(data)} bytes, expected "
                    f"{entry.size()} of shape {list(entry.shape)}")
            _write_in_chunks(out, data)
