"""A talk with the server: which model, which conversation, and one method for each thing a person can do."""

from antiphon.cli.answers import AnswerStream
from antiphon.cli.api_client import ApiClient, ClientError, Json, quoted

PAGE = 100
MOST_PAGES = 10
TITLE_CHARACTERS = 60


class ChatSession:
    def __init__(
        self, client: ApiClient, *, model: str | None = None, conversation_id: str | None = None
    ) -> None:
        self.client = client
        self.model = model
        self.conversation_id = conversation_id

    # --- answers

    def ask_once(self, text: str) -> AnswerStream:
        """Ask in the current conversation if there is one, else outside any."""
        body = self._with_model({"input": text})
        if self.conversation_id:
            body["conversation"] = self.conversation_id
        return AnswerStream(self.client, "/v1/responses", body)

    def ask(self, text: str) -> AnswerStream:
        """Ask in the current conversation, which begins here if there is none."""
        if self.conversation_id is None:
            title = " ".join(text.split())[:TITLE_CHARACTERS]
            self.conversation_id = str(self.client.post("/v1/conversations", {"title": title})["id"])
        return self.ask_once(text)

    def edit(self, text: str) -> AnswerStream:
        """Put another text in place of the last question; a new branch answers it."""
        item = self._last_question()
        body = self._with_model({"content": text})
        return AnswerStream(self.client, self._path(f"/items/{quoted(item['id'])}/edit"), body)

    def retry(self, model: str | None) -> AnswerStream:
        """Answer the last question once more, on a new branch, with another model if one is named."""
        item = self._last_item("there is no answer yet")
        chosen = model or self.model
        body: Json = {"model": chosen} if chosen else {}
        return AnswerStream(self.client, self._path(f"/items/{quoted(item['id'])}/regenerate"), body)

    # --- conversations

    def start(self) -> None:
        """Leave the current conversation; the next question begins another."""
        self.conversation_id = None

    def conversations(self) -> list[Json]:
        """The latest conversations."""
        return _data(self.client.get("/v1/conversations", limit=20))

    def search(self, words: str) -> list[Json]:
        """Messages of any conversation in which the words are found, the best first."""
        return _data(self.client.get("/v1/search", query=words, limit=10))

    def open(self, conversation_id: str) -> Json:
        found = self.client.get(f"/v1/conversations/{quoted(conversation_id)}")
        self.conversation_id = str(found["id"])
        return found

    def fork(self) -> str:
        """Continue in a new conversation that shares everything up to here."""
        last = self._last_item("there is nothing to fork yet")
        forked = self.client.post(self._path("/fork"), {"item_id": last["id"]})
        self.conversation_id = str(forked["id"])
        return self.conversation_id

    # --- the tree

    def recent_items(self, count: int) -> list[Json]:
        """Items of the active branch, the latest first."""
        return _data(self.client.get(self._path("/items"), order="desc", limit=count))

    def branches(self) -> list[Json]:
        return self._all(self._path("/branches"))

    def branch(self, name: str, back: int) -> None:
        """Name a branch at the item `back` places before the last one, and go there."""
        items = self.recent_items(min(back + 1, PAGE))
        if len(items) <= back:
            raise ClientError(f"there are only {len(items)} items to go back over")
        body = {"name": name, "item_id": items[back]["id"], "activate": True}
        self.client.post(self._path("/branches"), body)

    def switch(self, name: str) -> Json:
        """Go to the branch of this name or id."""
        for branch in self.branches():
            if name in {branch.get("name"), branch["id"]}:
                return self.client.put(self._path(f"/branches/{quoted(branch['id'])}/activate"))
        raise ClientError(f"no branch is called {name}")

    def segments(self) -> list[Json]:
        """The unbroken lines of items that the tree consists of."""
        return self._all(self._path("/tree"))

    # --- models

    def models(self) -> list[str]:
        return [str(model["id"]) for model in _data(self.client.get("/v1/models"))]

    def _all(self, path: str) -> list[Json]:
        page = self.client.get(path, limit=PAGE)
        found = _data(page)
        for _ in range(MOST_PAGES):
            if not page.get("has_more"):
                break
            page = self.client.get(path, limit=PAGE, after=str(page["last_id"]))
            found += _data(page)
        return found

    def _last_item(self, otherwise: str) -> Json:
        last = self.recent_items(1)
        if not last:
            raise ClientError(otherwise)
        return last[0]

    def _last_question(self) -> Json:
        for item in self.recent_items(PAGE):
            if item.get("type") == "message" and item.get("role") == "user":
                return item
        raise ClientError("there is nothing to edit yet")

    def _with_model(self, body: Json) -> Json:
        return {**body, "model": self.model} if self.model else body

    def _path(self, rest: str) -> str:
        if self.conversation_id is None:
            raise ClientError("no conversation yet: ask something, or /open one")
        return f"/v1/conversations/{quoted(self.conversation_id)}{rest}"


def _data(page: Json) -> list[Json]:
    return [entry for entry in page.get("data", []) if isinstance(entry, dict)]
