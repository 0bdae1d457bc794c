"""A folder kept in a vector store: what is new is uploaded, what changed replaced, what is gone deleted."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from antiphon.cli.api_client import ApiError, Json, quoted

PAGE = 100
MAX_PATH = 512
"""Characters of a value of metadata or of an attribute; longer paths are kept as their hash."""
POLL_SECONDS = 0.2
STORES = "/v1/vector_stores"
FOLDER, PATH, SIZE, CHANGED = "antiphon_folder", "path", "size", "changed"
SKIPPED = frozenset({"node_modules", "__pycache__", "venv"})


class Server(Protocol):
    """Answers calls of the API, wherever it is."""

    def get(self, path: str, **parameters: str | int) -> Json: ...
    def post(self, path: str, body: Json | None = None) -> Json: ...
    def delete(self, path: str) -> Json: ...
    def upload(self, path: str, file: Path, **fields: str) -> Json: ...
    def wait(self, seconds: float) -> None: ...


@dataclass
class Synced:
    """What became of a folder; `failed` maps paths to reasons."""

    store_id: str
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: dict[str, str] = field(default_factory=dict)


Progress = Callable[[int, int], None]
"""Is told how many files are indexed, and of how many."""


def sync(server: Server, folder: Path, progress: Progress) -> Synced:
    """Bring the vector store of a folder up to date and wait until it is indexed. Raises ClientError."""
    folder = folder.resolve()
    result = Synced(_store_of(server, folder))
    known = {str(one["attributes"].get(PATH)): one for one in _members(server, result.store_id)}
    for path, file in _files(folder):
        _bring(server, result, path, file, known.pop(path, None))
    for gone in known.values():
        server.delete(f"/v1/files/{quoted(gone['id'])}")
        result.removed += 1
    _wait(server, result, progress)
    return result


def _store_of(server: Server, folder: Path) -> str:
    """Return the folder's vector store, made if there is none."""
    shown = _short(str(folder))
    for store in _pages(server, STORES):
        if store["metadata"].get(FOLDER) == shown:
            return str(store["id"])
    made = server.post(STORES, {"name": folder.name or "folder", "metadata": {FOLDER: shown}})
    return str(made["id"])


def _members(server: Server, store_id: str) -> Iterator[Json]:
    return _pages(server, f"{STORES}/{quoted(store_id)}/files")


def _pages(server: Server, path: str) -> Iterator[Json]:
    after: dict[str, Any] = {}
    while True:
        page = server.get(path, limit=PAGE, order="asc", **after)
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"after": page["last_id"]}


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files under a folder by their paths in it; hidden ones and links are passed over."""
    for root, folders, names in folder.walk() if hasattr(folder, "walk") else _walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        for name in sorted(names):
            file = root / name
            if not name.startswith(".") and file.is_file() and not file.is_symlink():
                yield _short(file.relative_to(folder).as_posix()), file


def _walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Do what `Path.walk` does from Python 3.12 on."""
    entries = sorted(folder.iterdir())
    folders = [one.name for one in entries if one.is_dir() and not one.is_symlink()]
    yield folder, folders, [one.name for one in entries if one.name not in folders]
    for name in folders:
        yield from _walk(folder / name)


def _short(path: str) -> str:
    return path if len(path) <= MAX_PATH else hashlib.sha256(path.encode()).hexdigest()


def _bring(server: Server, result: Synced, path: str, file: Path, known: Json | None) -> None:
    """Upload one file if it is new or was written since; what cannot be uploaded is noted."""
    try:
        found = file.stat()
        attributes = {PATH: path, SIZE: found.st_size, CHANGED: str(found.st_mtime_ns)}
        if known is not None and known["attributes"] == attributes:
            result.unchanged += 1
            return
        if known is not None:
            server.upload(f"/v1/files/{quoted(known['id'])}/content", file)
            server.post(
                f"{STORES}/{quoted(result.store_id)}/files/{quoted(known['id'])}", {"attributes": attributes}
            )
            result.changed += 1
            return
        made = server.upload("/v1/files", file, purpose="user_data")
        body = {"file_id": made["id"], "attributes": attributes}
        server.post(f"{STORES}/{quoted(result.store_id)}/files", body)
        result.added += 1
    except (ApiError, OSError) as error:
        result.failed[path] = str(error)


def _wait(server: Server, result: Synced, progress: Progress) -> None:
    """Wait until nothing is being indexed, and note what could not be read."""
    last = -1
    while True:
        counts = server.get(f"{STORES}/{quoted(result.store_id)}")["file_counts"]
        done = counts["total"] - counts["in_progress"]
        if done != last:
            progress(done, counts["total"])
            last = done
        if not counts["in_progress"]:
            break
        server.wait(POLL_SECONDS)
    if counts["failed"]:
        for member in _members(server, result.store_id):
            if member["status"] == "failed":
                reason = (member["last_error"] or {}).get("message") or "It could not be read."
                result.failed[str(member["attributes"].get(PATH))] = reason
