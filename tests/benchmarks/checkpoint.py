"""Reading of a checkpoint directory as Hugging Face publishes it: config.json,
tokenizer.json and tensors in safetensors files, mapped and never copied."""

import dataclasses
import json
import mmap
import os
import struct


@dataclasses.dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str  # "BF16", "F32", ...
    shape: tuple
    data: memoryview  # as it lies in the file; valid while the mapping lives


def read_json(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as file:
        return json.load(file)


def text_config(directory):
    """The config of the text model, whether or not it stands in another."""
    config = read_json(directory, "config.json")
    return config.get("text_config", config)


def weight_files(directory):
    return sorted(os.path.join(directory, name)
                  for name in os.listdir(directory)
                  if name.endswith(".safetensors"))


def tensors_of_file(path):
    with open(path, "rb") as file:
        mapping = memoryview(
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    (header_bytes,) = struct.unpack_from("<Q", mapping)
    start = 8 + header_bytes
    header = json.loads(bytes(mapping[8:start]))
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        yield Tensor(name, entry["dtype"], tuple(entry["shape"]),
                     mapping[start + begin:start + end])


def tensors(directory):
    """All tensors of the checkpoint, file by file."""
    for path in weight_files(directory):
        yield from tensors_of_file(path)
