"""The benchmark counts what arrives, however it is cut into reads, and reports it without loss."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.dialects import CHAT, RESPONSES, ChatScanner, ResponsesScanner
from bench.load import Plan, percentile
from bench.meter import measure
from bench.report import BEGIN_MARK, END_MARK, figures, noisy, table, write_docs, write_json
from bench.rows import Measurement
from tests.harness.upstream import Upstream, upstream_in_thread

CHAT_STREAM = (
    b'data: {"choices":[{"delta":{"content":"w0~"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"w1~w2~"}}]}\n\ndata: [DONE]\n\n'
)
RESPONSES_STREAM = (
    b'event: response.created\ndata: {"a":1}\n\n'
    b'event: response.output_text.delta\ndata: {"delta":"w0~"}\n\n'
    b'event: response.output_text.delta\ndata: {"delta":"w1~w2~"}\n\n'
    b'event: response.output_text.done\ndata: {"text":"w0~w1~w2~"}\n\n'
    b'event: response.completed\ndata: {"output":"w0~w1~w2~"}\n\n'
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 31, 64, 1000])
@pytest.mark.parametrize(
    ("scanner_type", "stream"), [(ChatScanner, CHAT_STREAM), (ResponsesScanner, RESPONSES_STREAM)]
)
def test_scanners_do_not_care_where_a_read_ends(
    scanner_type: type[ChatScanner] | type[ResponsesScanner], stream: bytes, size: int
) -> None:
    scanner = scanner_type()
    assert sum(scanner.feed(stream[at : at + size]) for at in range(0, len(stream), size)) == 3
    assert scanner.complete
    scanner = scanner_type()
    scanner.feed(stream[: stream.rindex(b"data: ")])
    assert not scanner.complete


def chat_plan(upstream: Upstream, model: str, tokens: int, **load: float) -> Plan:
    request = CHAT.request(model, streamed=True)
    return Plan(upstream.port, request, ChatScanner, tokens, **{"connections": 4, "rounds": 5, **load})  # type: ignore[arg-type]


def test_a_load_counts_every_token_and_every_answer() -> None:
    with upstream_in_thread() as upstream:
        outcome = measure(chat_plan(upstream, "paced-n5-i10-d20", 5, interval_ms=10.0), None, 1).outcome
        assert upstream.stats()["calls"] == outcome.requests == 20
    assert (outcome.tokens, dict(outcome.errors)) == (100, {})
    assert (len(outcome.first_token), len(outcome.whole), len(outcome.jitter)) == (20, 20, 80)
    assert 20 <= percentile(outcome.first_token, 0.5) < 100


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ("n4", "4 of 5 tokens"),
        ("n5-malformed-nodone", "no terminal event"),
        ("n5-halfclose-after3", "lost: closed"),
        ("status-500", "status 500"),
        ("n5-stall-after3", "unfinished"),
    ],
)
def test_an_answer_that_is_not_whole_is_an_error(model: str, problem: str) -> None:
    with upstream_in_thread() as upstream:
        plan = chat_plan(upstream, model, 5, rounds=1, grace_seconds=0.5)
        assert measure(plan, None, 1).outcome.errors == {problem: 4}


def test_requests_name_the_model_and_ask_to_stream() -> None:
    head, _, body = RESPONSES.request("openai/n1", streamed=True).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/responses HTTP/1.1\r\n")
    assert (json.loads(body)["model"], json.loads(body)["stream"]) == ("openai/n1", True)


def test_percentiles_of_nothing_are_not_a_number() -> None:
    assert percentile(array("d"), 0.5) != percentile(array("d"), 0.5)
    assert percentile(array("d", [3, 1, 2]), 0.99) == 3


def test_reports_hold_medians_ratios_and_what_went_wrong(tmp_path: Path) -> None:
    found = [
        Measurement("turns", "nginx", {"cpu_us_per_request": 50.0}),
        Measurement("turns", "antiphon", {"cpu_us_per_request": 100.0}, foreign_cores=0.5),
        Measurement("turns", "antiphon", {"cpu_us_per_request": 300.0}, errors={"status 500": 2}),
        Measurement("turns", "antiphon", {"cpu_us_per_request": 200.0}),
    ]
    row = next(line for line in table(figures(found)).splitlines() if "µs a request" in line)
    assert [cell.strip() for cell in row.split("|")][3:6] == ["50", "200", "4.00"]
    assert noisy(found) == ["turns/antiphon: others used 0.50 cores"]
    write_json(tmp_path / "all.json", found, {})
    assert json.loads((tmp_path / "all.json").read_text())["rows"][2]["errors"] == {"status 500": 2}


def test_documentation_is_replaced_between_the_marks_only(tmp_path: Path) -> None:
    found = figures([Measurement("turns", "nginx", {"cpu_us_per_request": 50.0})])
    page = tmp_path / "performance.md"
    page.write_text(f"# Before\n\n{BEGIN_MARK}\nold\n{END_MARK}\n\nAfter\n")
    write_docs(tmp_path, found)
    write_docs(tmp_path, found)
    text = page.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("\nAfter\n")
    assert ("old" in text, text.count("| load |"), text.count(BEGIN_MARK)) == (False, 1, 1)
    assert ElementTree.parse(tmp_path / "performance.svg").getroot().tag.endswith("svg")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="performance"):
        write_docs(tmp_path, found)
