"""What a check of `antiphon doctor` found."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    state: State
    detail: str
    hint: str | None = None

    def as_json(self) -> dict[str, str | None]:
        return {
            "check": self.check,
            "state": self.state.value,
            "detail": self.detail,
            "hint": self.hint,
        }
