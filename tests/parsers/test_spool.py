"""Documents that lie apart come together group by group: each once, none left, whatever the number."""

from __future__ import annotations

from antiphon.parsers.chat_exports.spool import Spool


def told(spool: Spool) -> dict[str, list[str]]:
    return {key: [one["name"] for one in spool.documents(key) or ()] for key in spool.groups()}


def test_what_lies_below_comes_with_what_it_lies_below_and_a_circle_comes_once() -> None:
    with Spool() as spool:
        links = (("a", "b"), ("b", "c"), ("x", "y"), ("y", "z"), ("z", "x"), ("z", "under"), ("gone", "d"))
        for name in ("c", "d", "z", "b", "a", "y", "x", "under"):
            spool.add(name, {"name": name})
        for above, below in links:
            spool.link(above, below)
        assert told(spool) == {"d": ["d"], "a": ["c", "b", "a"], "z": ["z", "y", "x", "under"]}


def test_a_group_is_found_by_its_links_without_looking_at_those_of_others() -> None:
    with Spool() as spool:
        for number in range(100):
            spool.add(f"a{number}", {"name": f"a{number}"})
            spool.add(f"b{number}", {"name": f"b{number}"})
            spool.link(f"a{number}", f"b{number}")
        plans: list[str] = []
        spool._db.set_trace_callback(plans.append)
        assert told(spool)["a7"] == ["a7", "b7"]
        spool._db.set_trace_callback(None)
        asked = {one for one in plans if one.startswith("WITH RECURSIVE") and "'a7'" in one}
        shown = [row[3] for one in asked for row in spool._db.execute(f"EXPLAIN QUERY PLAN {one}")]
        assert len(asked) == 2 and shown and not [one for one in shown if "AUTOMATIC" in one], shown
