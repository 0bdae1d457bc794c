"""`antiphon chat`: one question, or a talk in which slash commands walk, cut and regrow the tree."""

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import NoReturn

import typer

from antiphon.cli.answers import AnswerStream
from antiphon.cli.api_client import ApiClient, ClientError, Json
from antiphon.cli.chat_session import ChatSession
from antiphon.cli.chat_view import View, is_terminal, preview

with suppress(ImportError):
    import readline  # noqa: F401  (gives `input` its history and its editing keys)

RECENT_ITEMS = 20


@dataclass(frozen=True, slots=True)
class Command:
    run: Callable[["Chat", str], None]
    usage: str
    meaning: str


class Chat:
    """The dialogue: reads lines, asks the session, shows through the view."""

    def __init__(self, session: ChatSession, view: View) -> None:
        self.session = session
        self.view = view
        self.done = False
        self.listed: list[Json] = []

    def handle(self, line: str) -> None:
        """Do what one line of input says; a failure is shown and the talk goes on."""
        text = line.strip()
        try:
            if text.startswith("/"):
                self._command(text)
            elif text:
                self.answer(self.session.ask(text))
        except ClientError as error:
            self.view.error(str(error))

    def answer(self, stream: AnswerStream) -> None:
        """Show an answer; Ctrl-C stops the server's work on it, not only the display."""
        try:
            answer = self.view.answer(stream)
        except KeyboardInterrupt:
            stream.stop()
            self.view.say("stopped")
            return
        if answer.conversation_id and self.session.conversation_id is None:
            self.session.conversation_id = answer.conversation_id

    def _command(self, text: str) -> None:
        name, _, rest = text[1:].partition(" ")
        command = COMMANDS.get(name)
        if command is None:
            raise ClientError(f"/{name} is no command; /help lists them")
        command.run(self, rest.strip())

    # --- one method per command

    def help(self, _: str) -> None:
        self.view.table(("command", ""), ((c.usage, c.meaning) for c in COMMANDS.values()))

    def new(self, _: str) -> None:
        self.session.start()
        self.view.say("a new conversation begins with your next message")

    def list(self, _: str) -> None:
        self.listed = self.session.conversations()
        rows = ((str(n), title(c), c["id"]) for n, c in enumerate(self.listed, start=1))
        self.view.table(("", "title", "id"), rows)

    def search(self, words: str) -> None:
        if not words:
            raise ClientError("usage: /search WORDS")
        hits = self.session.search(words)
        self.listed = [hit["conversation"] for hit in hits]
        rows = (
            (str(n), title(hit["conversation"]), str(hit.get("role")), found(hit))
            for n, hit in enumerate(hits, start=1)
        )
        self.view.table(("", "title", "", "found"), rows)

    def open(self, wanted: str) -> None:
        number = int(wanted) if wanted.isdecimal() else 0
        known = self.listed[number - 1]["id"] if 0 < number <= len(self.listed) else wanted
        if not known:
            raise ClientError("usage: /open ID, or a number of /list or /search")
        self.session.open(str(known))
        self.items("")

    def branches(self, _: str) -> None:
        found = self.session.branches()
        rows = (("*" if b.get("active") else "", str(b.get("name")), b["id"]) for b in found)
        self.view.table(("", "branch", "id"), rows)

    def branch(self, rest: str) -> None:
        name, _, back = rest.partition(" ")
        if not name or (back and not back.strip().isdecimal()):
            raise ClientError("usage: /branch NAME [N]")
        self.session.branch(name, int(back or 0))
        self.view.say(f"on branch {name}")

    def switch(self, name: str) -> None:
        branch = self.session.switch(name)
        self.view.say(f"on branch {branch.get('name', name)}")

    def edit(self, text: str) -> None:
        if not text:
            raise ClientError("usage: /edit TEXT")
        self.answer(self.session.edit(text))

    def retry(self, model: str) -> None:
        self.answer(self.session.retry(model or None))

    def tree(self, _: str) -> None:
        segments, branches = self.session.segments(), self.session.branches()
        self.view.tree(str(self.session.conversation_id), segments, branches)

    def models(self, _: str) -> None:
        names = self.session.models()
        self.view.table(("", "model"), (("*" if n == self.session.model else "", n) for n in names))

    def model(self, name: str) -> None:
        if name:
            self.session.model = name
        self.view.say(f"model: {self.session.model or 'the server decides'}")

    def fork(self, _: str) -> None:
        self.view.say(f"now in {self.session.fork()}")

    def items(self, _: str) -> None:
        recent = self.session.recent_items(RECENT_ITEMS)
        numbered = list(zip(count(), recent, strict=False))
        self.view.table(("back", "item"), ((str(back), preview(item)) for back, item in reversed(numbered)))

    def quit(self, _: str) -> None:
        self.done = True


COMMANDS = {
    "help": Command(Chat.help, "/help", "this list"),
    "new": Command(Chat.new, "/new", "begin another conversation"),
    "list": Command(Chat.list, "/list", "the latest conversations"),
    "search": Command(Chat.search, "/search WORDS", 'find messages; "exact phrases" and -words too'),
    "open": Command(Chat.open, "/open ID", "continue a conversation, by id or number of /list or /search"),
    "branches": Command(Chat.branches, "/branches", "the branches of this conversation"),
    "branch": Command(Chat.branch, "/branch NAME [N]", "branch off at the Nth item back, and go there"),
    "switch": Command(Chat.switch, "/switch NAME", "go to another branch"),
    "edit": Command(Chat.edit, "/edit TEXT", "ask your last question differently, on a new branch"),
    "retry": Command(Chat.retry, "/retry [MODEL]", "have the last question answered again, on a new branch"),
    "tree": Command(Chat.tree, "/tree", "the whole conversation as a tree"),
    "models": Command(Chat.models, "/models", "the models that can be asked"),
    "model": Command(Chat.model, "/model NAME", "ask this model from now on"),
    "fork": Command(Chat.fork, "/fork", "go on in a conversation of its own"),
    "items": Command(Chat.items, "/items", "the latest items, counted from the end"),
    "quit": Command(Chat.quit, "/quit", "leave; so does Ctrl-D"),
}


def title(conversation: Json) -> str:
    return " ".join(str(conversation.get("title") or "untitled").split())


def found(hit: Json) -> str:
    return " ".join(str(hit.get("snippet", {}).get("text", "")).split())


def run_chat(
    *, question: str | None, base_url: str, api_key: str | None, model: str | None, conversation: str | None
) -> None:
    """Answer one question if there is one, else talk until the end of input."""
    view = View()
    try:
        session = ChatSession(ApiClient(base_url, api_key), model=model, conversation_id=conversation)
        asked = one_question(question)
        if asked is None:
            talk(Chat(session, view))
        else:
            answer_once(session, view, asked)
    except ClientError as error:
        _fail(view, str(error))


def one_question(question: str | None) -> str | None:
    """The question given, followed by what is piped in; None if there is neither."""
    piped = "" if sys.stdin.isatty() else sys.stdin.read().strip()
    return "\n\n".join(part for part in (question, piped) if part) or None


def answer_once(session: ChatSession, view: View, question: str) -> None:
    stream = session.ask_once(question)
    try:
        answer = view.answer(stream)
    except KeyboardInterrupt:
        stream.stop()
        raise typer.Exit(130) from None
    if answer.status != "completed":
        raise typer.Exit(1)


def talk(chat: Chat) -> None:
    """Read lines until the end. Ctrl-C at the prompt drops the line, Ctrl-D leaves."""
    if not is_terminal():
        raise ClientError("nothing was asked: give a question, pipe one in, or start it in a terminal")
    if chat.session.conversation_id:
        chat.handle("/items")
    chat.view.say(f"{chat.session.client.base_url} · /help lists the commands")
    while not chat.done:
        try:
            chat.handle(input("› "))
        except KeyboardInterrupt:
            print()
        except EOFError:
            print()
            return


def _fail(view: View, message: str) -> NoReturn:
    view.error(message)
    raise typer.Exit(1)
