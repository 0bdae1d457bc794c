"""Reads a safetensors file: eight bytes of length, a JSON header, then plain arrays.

Format: https://huggingface.co/docs/safetensors. The file is mapped, not read: float32 arrays are views
of the page cache, which processes share and the system may drop.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from msgspec import Meta

MAX_HEADER_BYTES: Final = 16 * 1024 * 1024

Array = np.ndarray[Any, np.dtype[np.float32]]


class BrokenModel(ValueError):
    """A model's file is not what it should be; its text is a sentence without the file's path."""


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[Annotated[int, Meta(ge=0)]]
    data_offsets: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]


_ITEM_BYTES: Final = {"F32": 4, "F16": 2, "BF16": 2}


class SafeTensors:
    """The float arrays of a file by name; others (the buffers some files carry) are left out."""

    def __init__(self, path: Path) -> None:
        """Map a file; raises BrokenModel and OSError."""
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._entries, self._begin = _header(self._data)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """Return the names of all float arrays."""
        return list(self._entries)

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        """Return an array as float32, read-only; raises BrokenModel if it is absent or has another shape."""
        entry = self._entries.get(name)
        if entry is None:
            raise BrokenModel(f"The weights hold no '{name}'.")
        if tuple(entry.shape) != shape:
            raise BrokenModel(f"'{name}' has the shape {tuple(entry.shape)}, not {shape}.")
        offset, count = self._begin + entry.data_offsets[0], int(np.prod(shape, dtype=np.int64))
        if entry.dtype == "F32":
            return np.frombuffer(self._data, "<f4", count, offset).reshape(shape)
        if entry.dtype == "F16":
            return np.frombuffer(self._data, "<f2", count, offset).astype(np.float32).reshape(shape)
        half = np.frombuffer(self._data, "<u2", count, offset).astype(np.uint32)
        return (half << 16).view(np.float32).reshape(shape)  # BF16 is the upper half of a float32


def _header(data: mmap.mmap) -> tuple[dict[str, _Entry], int]:
    """Return the float arrays and where the data begins; every offset is checked here."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(MAX_HEADER_BYTES, len(data) - 8):
        raise BrokenModel("The weights have no header of a safetensors file.")
    begin = 8 + length
    try:
        raw = msgspec.json.decode(data[8:begin], type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(value, type=_Entry) for name, value in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BrokenModel("The weights' header cannot be read.") from None
    for name, entry in entries.items():
        first, last = entry.data_offsets
        if not first <= last <= len(data) - begin:
            raise BrokenModel(f"'{name}' lies outside of the weights' file; it may be cut.")
    floats = {name: entry for name, entry in entries.items() if entry.dtype in _ITEM_BYTES}
    for name, entry in floats.items():
        size = _ITEM_BYTES[entry.dtype]
        for side in entry.shape:
            size *= side
        if size != entry.data_offsets[1] - entry.data_offsets[0]:
            raise BrokenModel(f"'{name}' has another size than its shape says.")
    return floats, begin
