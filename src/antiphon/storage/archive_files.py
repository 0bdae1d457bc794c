"""Archives as tar files, with gzip where the name says so; any tar reads them."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, cast

from antiphon.domain.archives import HEADER, LARGEST_PART, BadArchive, PieceSum
from antiphon.ports.archives import Piece
from antiphon.storage.files import sync_directory


class TarWriter:
    """Port `ArchiveWriter` on a tar that is written from the first byte to the last."""

    def __init__(self, file: IO[bytes], *, compressed: bool) -> None:
        mode: Any = "w|gz" if compressed else "w|"
        self._tar: Any = tarfile.open(fileobj=file, mode=mode)  # noqa: SIM115 - closed by `close`
        self._seen = PieceSum()

    def put(self, name: str, content: bytes) -> None:
        """See the port."""
        self._add(name, len(content), io.BytesIO(content))

    def put_file(self, name: str, path: Path) -> int:
        """See the port."""
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self._add(name, size, file)
        return size

    def sha256(self) -> str:
        """See the port."""
        return self._seen.hexdigest()

    def close(self) -> None:
        """Write what ends a tar."""
        self._tar.close()

    def _add(self, name: str, size: int, file: IO[bytes]) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, 0o600
        self._seen.begin(name, size)
        self._tar.addfile(entry, _Counting(file, self._seen))
        self._tar.members.clear()  # else every name stays in memory


class _Counting(io.RawIOBase):
    """A file whose bytes are counted into a hash as they are read."""

    def __init__(self, file: IO[bytes], seen: PieceSum) -> None:
        super().__init__()
        self._file = file
        self._seen = seen

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        content = self._file.read(size)
        self._seen.update(content)
        return content


@contextmanager
def writing(path: Path) -> Iterator[TarWriter]:
    """Write an archive, which has its name only when the block has ended well."""
    draft = path.with_name(path.name + ".partial")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with closing(TarWriter(file, compressed=path.suffix in (".gz", ".tgz"))) as writer:
                yield writer
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


class TarPiece:
    """Port `Piece`."""

    def __init__(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        self._tar = tar
        self._entry = entry
        self.name = entry.name
        self.size = entry.size

    def read(self) -> bytes:
        """See the port."""
        if self.size > LARGEST_PART:
            raise BadArchive(f"'{self.name}' is too large.")
        return self.open().read()

    def open(self) -> IO[bytes]:
        """See the port."""
        file = self._tar.extractfile(self._entry)
        if file is None:
            raise BadArchive(f"'{self.name}' is no file.")
        return cast(IO[bytes], _Reading(file))


class _Reading(io.RawIOBase):
    """A piece's content; a tar that breaks off in it is a bad archive."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        with naming_damage():
            return self._file.read(size)


@contextmanager
def naming_damage() -> Iterator[None]:
    """Raise BadArchive for whatever a damaged file makes the reader raise."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise BadArchive(f"The archive is damaged: {error}.") from error


class TarReader:
    """Port `ArchiveReader` on a file of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pieces(self) -> Iterator[Piece]:
        """See the port."""
        with naming_damage():
            tar: Any = tarfile.open(self._path, mode="r|*")  # noqa: SIM115 - in the next block
        with tar:
            while True:
                with naming_damage():
                    entry = tar.next()
                if entry is None:
                    return
                yield TarPiece(tar, entry)
                tar.members.clear()


def is_archive(path: Path) -> bool:
    """Whether a file begins as an archive does."""
    try:
        return path.is_file() and next(TarReader(path).pieces()).name == HEADER
    except (BadArchive, StopIteration, OSError):
        return False
