"""A conversation as anybody would draw it: items with parents, names with heads."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Talk:
    """What one conversation must look like."""

    wire_id: str
    branches: dict[str, str | None] = field(default_factory=dict)
    """Branch wire ids and the items they point to."""
    active: str = ""
    hidden: set[str] = field(default_factory=set)
    members: dict[str, None] = field(default_factory=dict)
    """Items that belong to this conversation, the shared base included, in the order they came."""
    deleted: bool = False

    @property
    def seen(self) -> list[str]:
        """Members that are not hidden."""
        return [item for item in self.members if item not in self.hidden]


@dataclass
class Model:
    """Everything that was acknowledged."""

    parent: dict[str, str | None] = field(default_factory=dict)
    talks: list[Talk] = field(default_factory=list)
    responses: dict[str, tuple[Talk, str | None]] = field(default_factory=dict)
    """Responses by id with the place a next turn follows."""
    asked: dict[str, str | None] = field(default_factory=dict)
    """What an answer's items answer: the end of their run's input."""

    def line(self, item: str | None) -> list[str]:
        """The path that ends at an item, root first."""
        path: list[str] = []
        while item is not None:
            path.append(item)
            item = self.parent[item]
        return path[::-1]

    def add(self, talk: Talk, after: str | None, items: list[str]) -> str | None:
        """Put items one after another behind `after`; returns the last."""
        for item in items:
            assert item not in self.parent, "an id was given twice"
            self.parent[item] = after
            talk.members[item] = None
            after = item
        return after

    def shown(self, talk: Talk, branch: str) -> list[str]:
        """The items a branch must list."""
        return [item for item in self.line(talk.branches[branch]) if item not in talk.hidden]
