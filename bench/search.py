"""``python -m bench.search``: how fast one's own conversations are found, and what following them costs.

A server of its own is filled over HTTP: one conversation of 10,000 messages and 1,000 of ten. Then it is
asked with words of the corpus, rare and common, alone and together. Last, messages are written one by
one and looked for until each is found.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from antiphon.bootstrap import SystemClock
from antiphon.domain import ids
from antiphon.domain.conversations import open_segment
from antiphon.domain.items import NewItem, Position
from antiphon.ports import write_sets as ws
from antiphon.services.commit_notes import CommitNotes
from antiphon.storage.watched import messages_in
from bench.processes import free_port, running

QUERIES: Final = 300
WRITTEN: Final = 30
WORDS: Final = 20_000
"""Size of the vocabulary; words are drawn by Zipf's law, as in speech."""

_random = random.Random(7)
_weights = [1 / (rank + 10) for rank in range(WORDS)]


class Client:
    """One connection to the server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer; raises RuntimeError for a refusal."""
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"content-type": "application/json"})
        response = self._connection.getresponse()
        read = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {read[:200]!r}")
        return json.loads(read)

    def metric(self, name: str) -> float:
        """Return one figure of `/metrics`."""
        self._connection.request("GET", "/metrics")
        lines = self._connection.getresponse().read().decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(name + " "))


def message(words: int = 60) -> dict[str, Any]:
    """A message of words drawn by Zipf's law."""
    drawn = _random.choices(range(WORDS), _weights, k=words)
    return {"type": "message", "role": "user", "content": " ".join(f"word{number}" for number in drawn)}


def fill(client: Client, items: int, conversations: int) -> None:
    """Write one long conversation and many short ones."""
    long = client.call("POST", "/v1/conversations", {})["id"]
    for _ in range(items // 20):
        client.call("POST", f"/v1/conversations/{long}/items", {"items": [message() for _ in range(20)]})
    for _ in range(conversations):
        client.call("POST", "/v1/conversations", {"items": [message() for _ in range(10)]})


def percentiles(seconds: list[float]) -> str:
    """Return median, 95th percentile and maximum in ms."""
    ordered = sorted(one * 1000 for one in seconds)
    at = [ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)], ordered[-1]]
    return "p50 {:.1f} ms, p95 {:.1f} ms, max {:.1f} ms".format(*at)


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield kinds of questions with their fields."""
    for _ in range(QUERIES):
        rare = f"word{_random.randrange(2_000, WORDS)}"
        common = f"word{_random.randrange(20)}"
        yield "a rare word", {"query": rare + " "}
        yield "a common word", {"query": common + " "}
        yield "three words", {"query": f"{common} {rare} word{_random.randrange(200)} "}
        yield "the beginning of a word", {"query": f"word{_random.randrange(100, 1_000)}"}
        yield "a role and a time", {"query": rare + " ", "role": "user", "from": 1}


def ask(client: Client) -> None:
    """Time questions of every kind, in turn."""
    times: dict[str, list[float]] = {}
    for kind, fields in queries():
        began = time.perf_counter()
        client.call("GET", "/v1/search?" + urlencode(fields))
        times.setdefault(kind, []).append(time.perf_counter() - began)
    for kind, seconds in times.items():
        print(f"  {kind:26} {percentiles(seconds)}")


def follow(client: Client) -> None:
    """Time from the acknowledgement of a message until it is found."""
    times = []
    for _ in range(WRITTEN):
        word = "".join(random.choices("bcdfghklmnprtvwz", k=14))  # no digits: a name is found by its parts
        client.call("POST", "/v1/conversations", {"items": [{**message(), "content": word}]})
        began = time.perf_counter()
        while not client.call("GET", f"/v1/search?query={word}")["data"]:
            time.sleep(0.005)
        times.append(time.perf_counter() - began)
    print(f"  found after its commit     {percentiles(times)}")


def watch() -> None:
    """Time what a turn's commits pay for being watched."""
    notes = CommitNotes(SystemClock(), most=10_000_000)
    item = NewItem(
        id=ids.new_id(1), type="message", role="user", status="completed", payload="{}", token_count=1
    )
    put = ws.PutItems(
        after=Position("s", -1, 0), owner_id="o", slot=1, author_id=None, run_id=None, created_us=0,
        items=(item,),
    )  # fmt: skip
    segment = open_segment("s", "c", None)
    opening = ws.NewSegment(segment=segment, owner_id="o", slot=1)
    commands = (opening, put, *(ws.RequestCancel(run_id="r") for _ in range(5)))
    rounds = 200_000
    began = time.perf_counter()
    for _ in range(rounds):
        found = messages_in(commands)
        notes.end(notes.begin(found), committed=True)
    spent = (time.perf_counter() - began) / rounds * 1e6
    print(f"  a commit of seven commands, one of them a message: {spent:.2f} µs")


def main() -> int:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--conversations", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="antiphon-search-") as directory:
        port = free_port()
        environment: Mapping[str, str] = {
            **os.environ, "PORT": str(port), "HOST": "127.0.0.1", "DATA_DIR": f"{directory}/data",
        }  # fmt: skip
        command = [sys.executable, "-m", "antiphon", "serve"]
        with running(
            command, port=port, log=Path(directory) / "log", core=None, cwd=Path(directory),
            environment=environment,
        ):  # fmt: skip
            client = Client(port)
            began = time.perf_counter()
            fill(client, options.items, options.conversations)
            written = time.perf_counter() - began
            while client.metric("antiphon_history_waiting") or client.metric("antiphon_history_catching_up"):
                time.sleep(0.05)
            later = time.perf_counter() - began - written
            print(f"written in {written:.1f} s, all indexed {later:.1f} s later")
            ask(client)
            follow(client)
    watch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
