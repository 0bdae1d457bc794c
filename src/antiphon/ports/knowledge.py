"""The store of knowledge as a whole: its ports, on one file or one database."""

from __future__ import annotations

from typing import Protocol

from antiphon.ports.collections import Batches, Collections, Members, Waiting
from antiphon.ports.files import Files, Texts, Uploads
from antiphon.ports.kept_answers import KeptAnswers


class Knowledge(Protocol):
    """Files, collections, and what became of their creations."""

    @property
    def files(self) -> Files:
        """Files and their versions."""
        ...

    @property
    def texts(self) -> Texts:
        """What was read out of versions."""
        ...

    @property
    def uploads(self) -> Uploads:
        """Uploads in parts."""
        ...

    @property
    def collections(self) -> Collections:
        """Collections of files."""
        ...

    @property
    def members(self) -> Members:
        """Files in collections."""
        ...

    @property
    def waiting(self) -> Waiting:
        """Members that are still to be indexed."""
        ...

    @property
    def batches(self) -> Batches:
        """Batches, counts, standing collections."""
        ...

    @property
    def kept_answers(self) -> KeptAnswers:
        """Idempotency keys."""
        ...
