"""``python -m bench``: measure Antiphon and nginx in front of the same scripted model, one core for each.

The server under test has a core to itself; the load generator and the model share another.
``python -m bench knowledge`` measures indexing and searching documents instead, ``python -m bench replicas``
how much two servers on one PostgreSQL carry.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import knowledge, replicas, stores
from bench.machine import cores, pin
from bench.processes import StartError
from bench.report import figures, noisy, table, write_docs, write_json
from bench.rows import QUICK, ROWS, Bench, Measurement, Scale
from bench.targets import NGINX, ROOT, TARGETS, Stage, Target

_LETTERS: Final = {
    "a": "turns", "b": "paced", "c": "paced", "d": "open", "e": "burst", "f": "idle", "g": "nonstream",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write. 0 if every answer was intact, 1 if not, 2 if nothing could be measured."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["knowledge"]:
        return knowledge.main(arguments[1:])
    if arguments[:1] == ["replicas"]:
        return replicas.main(arguments[1:])
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are ended on the way out
    where = cores()
    pin(where.rest)
    if where.rest is None:
        print(
            "one core only: server, load and model share it, so every figure is far too high", file=sys.stderr
        )
    measurements: list[Measurement] = []
    try:
        with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as directory:
            store = stores.settings_of(options.store, Path(directory))
            stage = Stage(Path(directory), where, dict(options.setting or []), store)
            bench = Bench(stage, Path(directory), _scale(options))
            _measure(bench, options, measurements)
    except StartError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was measured so far:", file=sys.stderr)
    return _publish(options, measurements)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rows, in under 90 seconds")
    rows = ", ".join(ROWS)
    parser.add_argument(
        "--only", metavar="ROW", action="append", type=_row, help=f"of {rows}; may be repeated"
    )
    names = [target.name for target in TARGETS]
    parser.add_argument("--target", action="append", choices=names, help="default: all; may be repeated")
    parser.add_argument("--no-nginx", action="store_true", help="leave nginx out")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="N times; tables show medians")
    parser.add_argument("--streams", type=int, metavar="N", help="streams of the row 'open'")
    setting = "a setting of Antiphon, such as DURABILITY=power; may be repeated"
    parser.add_argument("--setting", action="append", type=_setting, metavar="NAME=VALUE", help=setting)
    parser.add_argument("--store", choices=stores.STORES, default="sqlite", help=stores.HELP)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement to FILE")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md and .svg")
    parser.add_argument("--docs-dir", type=Path, default=ROOT / "docs", help=argparse.SUPPRESS)
    return parser


def _row(name: str) -> str:
    """A row by its name or its letter."""
    name = _LETTERS.get(name, name)
    if name not in ROWS:
        raise argparse.ArgumentTypeError(f"no row {name!r}; there are {', '.join(ROWS)}")
    return name


def _setting(text: str) -> tuple[str, str]:
    """Name and value of a setting."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _scale(options: argparse.Namespace) -> Scale:
    scale = QUICK if options.quick else Scale()
    return replace(scale, open_streams=options.streams) if options.streams else scale


def _measure(bench: Bench, options: argparse.Namespace, measurements: list[Measurement]) -> None:
    """Run the chosen rows, collecting into ``measurements``."""
    for _ in range(options.repeat):
        for name in options.only or ROWS:
            for target in _targets(name, options):
                print(f"{name:10} {target.name:14}", end="", flush=True)
                found = ROWS[name].read(bench, target)
                print(
                    " ".join(f"{metric}={value:.4g}" for metric, value in found.metrics.items()), found.errors
                )
                measurements.append(found)


def _targets(row: str, options: argparse.Namespace) -> list[Target]:
    """The targets of a row that were asked for."""
    quick = options.quick and not options.target
    return [
        target
        for target in (ROWS[row].quick_targets if quick else ROWS[row].targets)
        if not (options.no_nginx and target is NGINX) and target.name in (options.target or [target.name])
    ]


def _publish(options: argparse.Namespace, measurements: list[Measurement]) -> int:
    """Print the table and write what was asked for."""
    if not measurements:
        return 2
    found = figures(measurements)
    print("\n" + table(found))
    for line in stores.notes_of(options.store):
        print(line)
    for line in noisy(measurements):
        print(f"noisy: {line}")
    if options.json:
        write_json(options.json, measurements, dict(options.setting or []))
    if options.write_docs:
        write_docs(options.docs_dir, found)
    broken = [one for one in measurements if one.errors]
    for one in broken:
        print(f"NOT INTACT: {one.row}/{one.target}: {one.errors}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
