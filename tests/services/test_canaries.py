"""Nobody's documents reach anybody else's prompt, trace, results or citations, whatever he sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import AntiphonError, Forbidden, NotFound
from antiphon.domain.file_search import FileSearch, Ranking
from antiphon.domain.filters import Comparison, Join
from antiphon.services.retrieval import Asked
from tests.harness.library import Library
from tests.services.hand import ECHO
from tests.services.sharing import Scene, shared_scene
from tests.services.world import World, open_world

CANARY = "canary-7f3a91"
OTHER_CANARY = "canary-b2c4d8"
QUESTION = "What does the canary sing about the harvest?"
TEXT = "The canary sings about the harvest: {}."


class Town:
    """A scene of sharing in which the owner and the editor have documents of their own."""

    def __init__(self, world: World, scene: Scene) -> None:
        self.world = world
        self.scene = scene
        self.library = Library(world)
        self.owner, self.editor = scene.people["owner"], scene.people["editor"]
        self.secret = self.own = ""
        self.seen: list[str] = []

    async def fill(self) -> None:
        """Give both their documents."""
        self.secret = await self._documents(self.owner, CANARY)
        self.own = await self._documents(self.editor, OTHER_CANARY)

    async def _documents(self, who: Principal, canary: str) -> str:
        made = await self.library.collection(who)
        await self.library.add(made, f"{canary}.txt", TEXT.format(canary), kind="secret")
        return made

    async def stand(self, who: Principal, *collection_ids: str, at: str | None = None) -> None:
        """Have collections stand for somebody, or on a conversation."""
        await self.world.application.collections.stand(who, collection_ids, at)

    async def attempt(self, who: Principal, **fields: Any) -> None:
        """Begin a turn as somebody and note everything he can see of it; a refusal counts as well."""
        before = len(self.world.hand.calls)
        try:
            begun = await self.world.begin(QUESTION, who=who, **{"model": ECHO, **fields})
        except AntiphonError as refused:
            self.seen.append(refused.message)
            return
        await self.world.wait(begun)
        assert begun.live is not None
        self.seen.append(str(begun.live.log.ops))
        self.seen += [str(call.request) for call in self.world.hand.calls[before:]]
        if fields.get("store", True):
            answer = await self.world.application.answers.get(who, ids.RESPONSE + begun.run_id, records=True)
            self.seen.append(str(answer))


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    world = await open_world(tmp_path / "data")
    try:
        scene = await shared_scene(world, running=False)
        made = Town(world, scene)
        await made.fill()
        await made.stand(made.owner, made.secret)
        yield made
    finally:
        await world.close()


def everything(collection_id: str) -> list[FileSearch]:
    """Searches as greedy as the wire allows."""
    any_of = Join("or", (Comparison("eq", "kind", "secret"), Comparison("ne", "kind", "x")))
    raw = collection_id.removeprefix("vs_")
    written = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"
    return [
        FileSearch(collection_ids=(wire_id,), filter=chosen, max_results=50, ranking=Ranking(ranker="none"))
        for wire_id in (collection_id, raw, written, "h" + raw)
        for chosen in (None, any_of)
    ]


async def test_the_canary_sings_for_its_owner(town: Town) -> None:
    await town.attempt(town.owner)
    assert CANARY in "".join(town.seen)


@pytest.mark.parametrize("name", ["editor", "viewer", "stranger"])
async def test_no_search_of_anybody_else_finds_it(town: Town, name: str) -> None:
    who, scene = town.scene.people[name], town.scene
    places: list[dict[str, Any]] = [
        {},
        {"conversation_id": scene.id},
        {"conversation_id": scene.id, "parent_item_id": scene.item},
        {"previous_response_id": scene.other_response},
        {"previous_response_id": scene.other_response, "store": False},
        {"store": False},
        {"surface": "chat", "store": False, "messages": [{"role": "user", "content": QUESTION}]},
        {"background": True},
    ]
    for place in places:
        await town.attempt(who, **place)
        for search in everything(town.secret):
            await town.attempt(who, search=search, **place)
    for search in everything(town.secret):
        try:
            found = await town.world.application.retrieval.search(
                who, search.collection_ids, Asked(queries=(QUESTION,), limit=50)
            )
            town.seen.append(str(found))
        except NotFound as refused:
            town.seen.append(refused.message)
    assert len(town.seen) > 60
    assert CANARY not in "".join(town.seen)
    assert all(town.secret.removeprefix("vs_") not in query.scopes for query in town.library.index.asked)


async def test_a_members_own_documents_stay_his_where_he_does_not_name_them(town: Town) -> None:
    await town.stand(town.editor, town.own)
    await town.attempt(town.editor, conversation_id=town.scene.id)
    await town.attempt(town.owner, conversation_id=town.scene.id, retrieves=False)
    assert OTHER_CANARY not in "".join(town.seen)
    await town.attempt(town.editor)
    assert OTHER_CANARY in "".join(town.seen)


async def test_what_stands_on_a_shared_conversation_is_searched_for_who_writes_there_and_no_further(
    town: Town,
) -> None:
    scene = town.scene
    await town.stand(town.owner, town.secret, at=scene.id)
    for name in ("editor", "viewer", "stranger"):
        with pytest.raises((NotFound, Forbidden)):
            await town.stand(scene.people[name], town.own, at=scene.id)
    await town.attempt(scene.people["viewer"], conversation_id=scene.id)
    await town.attempt(scene.people["stranger"], conversation_id=scene.id)
    latest = await town.world.path(scene.id)
    answered = next(item for item in reversed(latest) if item.run_id is not None and item.author_id is None)
    response = ids.RESPONSE + (answered.run_id or "")
    await town.attempt(scene.people["viewer"], previous_response_id=response, store=False)
    forked = await town.world.application.branches.fork(
        scene.people["viewer"], scene.id, item_id=None, title=None, key=None
    )
    own_fork = ids.CONVERSATION + forked.id
    await town.attempt(scene.people["viewer"], conversation_id=own_fork)
    with pytest.raises(NotFound):
        await town.stand(scene.people["viewer"], town.secret, at=own_fork)
    assert CANARY not in "".join(town.seen)
    await town.attempt(town.editor, conversation_id=scene.id)
    assert CANARY in "".join(town.seen)


async def test_a_background_run_keeps_what_it_may_search_and_not_more(town: Town) -> None:
    begun = await town.world.begin(
        QUESTION, who=town.editor, model=ECHO, background=True, search=everything(town.own)[0]
    )
    await town.world.wait(begun)
    stored = await town.world.storage.runs.get(town.editor.account_id, begun.run_id)
    assert stored is not None
    kept = msgspec.json.decode(msgspec.json.encode(stored.request["file_search"]))
    assert kept["collections"] == [[town.editor.account_id, town.own.removeprefix("vs_")]]
    kept["collections"] = [[town.editor.account_id, town.secret.removeprefix("vs_")]]
    forged = msgspec.structs.replace(stored, request={**stored.request, "file_search": kept})
    plan = await town.world.application.turns._searches.planned(forged)
    assert plan is not None and plan.collections == []
