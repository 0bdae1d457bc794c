"""The branching chat: documents of question/response pairs, whose branches are documents of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from antiphon.domain.chat_exports.chats import Chat, Draft, Text, chat_key
from antiphon.domain.chat_exports.trees import TreeBuilder
from antiphon.domain.chat_exports.values import line, listing, mapping, moment, name, text

Value = Mapping[str, Any]


def is_document(value: Value) -> bool:
    """Whether a value is a chat, or a branch of one."""
    return "chat_id" in value and isinstance(value.get("qa_pairs"), list)


def document_key(value: Value) -> str | None:
    """Return the id of a document's chat."""
    return name(value.get("chat_id"))


def branches(value: Value) -> Iterator[str]:
    """Yield the ids of the chats that branch off a document's pairs."""
    for pair in listing(value.get("qa_pairs")):
        for one in listing(mapping(pair).get("branches")):
            if found := name(one):
                yield found


def chat_of(root: str, documents: Sequence[Value]) -> Chat:
    """Translate a chat with everything that branches off it: the document of `root`, and those below.

    A branch's pairs follow the pair that names it; where it repeats what went before, that is not told
    twice.
    """
    known = {document_key(one): one for one in reversed(documents)}
    tree, seen = TreeBuilder(), {root}
    waiting: list[tuple[str, str | None, list[Value]]] = [(root, None, [])]
    while waiting:
        chat_id, above, before = waiting.pop()
        pairs = [mapping(one) for one in listing(mapping(known.get(chat_id)).get("qa_pairs"))]
        path = list(before)
        if len(pairs) >= len(path) and all(map(_same, pairs, path)):
            pairs = pairs[len(path) :]
        for number, pair in enumerate(pairs):
            above = _add(tree, pair, f"{chat_id}#{len(before) + number}", above)
            path.append(pair)
            for found in listing(pair.get("branches")):
                branch = name(found)
                if branch is None or branch in seen:
                    continue
                seen.add(branch)
                if branch not in known:
                    tree.note("branch without a document")
                waiting.append((branch, above, list(path)))
    messages, newest = tree.build()
    trunk = next((one.key for one in reversed(messages) if one.key.startswith(f"{root}#")), None)
    head = mapping(known.get(root))
    created = next((one.created_us for one in messages if one.created_us), None)
    return Chat(
        kind="branching", key=chat_key(root), title=line(head.get("name")),
        created_us=moment(head.get("created_at")) or created, updated_us=moment(head.get("updated_at")),
        current=trunk or newest, messages=messages, notes=tree.notes,
    )  # fmt: skip


def _same(left: Value, right: Value) -> bool:
    return (left.get("question"), left.get("response")) == (right.get("question"), right.get("response"))


def _add(tree: TreeBuilder, pair: Value, key: str, above: str | None) -> str:
    """Add the two halves of a pair; returns the key of the second."""
    created = moment(pair.get("timestamp"))
    question, response = text(pair.get("question")), text(pair.get("response"))
    asked, answered = f"{key}/question", f"{key}/response"
    tree.add(asked, above, [Draft(role="user", parts=(Text(question),) if question else ())], created)
    tree.add(answered, asked, [Draft(parts=(Text(response),) if response else ())], created)
    return answered
