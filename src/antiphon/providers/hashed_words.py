"""An embedding without a model: a text's words are counted into hashed buckets.

Texts that share words come out close, and nothing else does: no synonyms, no meaning. It lets
tests, demonstrations and load run without a network; it is no substitute for an embedding model.
After Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009): each word adds
+1 or -1 to a bucket, both decided by its hash.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from typing import Final

DIMENSIONS: Final = 256
LEAST_DIMENSIONS: Final = 8
MOST_DIMENSIONS: Final = 4096

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Return the words that count, in lower case; of a text without any, the text itself."""
    return _WORD.findall(text.casefold()) or [text]


def embed_words(text: str, dimensions: int = DIMENSIONS) -> bytes:
    """Return a vector of length one, float32 little-endian; the same text gives the same bytes everywhere."""
    buckets = [0.0] * dimensions
    for word in words_of(text):
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        number = int.from_bytes(digest, "little")
        buckets[(number >> 1) % dimensions] += 1.0 if number & 1 else -1.0
    length = math.hypot(*buckets)
    if length == 0:  # words that cancel each other
        buckets[0] = length = 1.0
    return struct.pack(f"<{dimensions}f", *[value / length for value in buckets])
