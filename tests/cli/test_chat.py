"""`antiphon chat` shows each answer whole and once, also over connections that break, and walks the tree."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from rich.console import Console
from typer.testing import CliRunner

from antiphon.cli.answers import Answer, AnswerStream
from antiphon.cli.api_client import ApiClient, ApiError, ClientError, ConnectionBroken, NoServer, ServerEvent
from antiphon.cli.chat import COMMANDS, Chat
from antiphon.cli.chat_session import ChatSession
from antiphon.cli.chat_view import View, harmless, preview, segment_tree
from antiphon.cli.main import app
from tests.cli.fake_server import WORDS, FakeServer, answer_events, page

TEXT = "".join(WORDS)
STREAMED = {"stream": True, "background": True}


class Talk:
    """A chat whose output can be read."""

    def __init__(self, server: FakeServer, conversation_id: str | None = "conv_1") -> None:
        self.out = io.StringIO()
        view = View(Console(file=self.out, width=100, highlight=False))
        view.errors = view.console
        self.session = ChatSession(ApiClient(server.base_url), conversation_id=conversation_id)
        self.chat = Chat(self.session, view)

    def __call__(self, line: str) -> str:
        self.out.seek(0)
        self.out.truncate()
        self.chat.handle(line)
        return self.out.getvalue()


@pytest.fixture
def talk(server: FakeServer) -> Talk:
    return Talk(server)


# --- one question


def test_one_question_prints_the_answer_and_nothing_else(runner: CliRunner, server: FakeServer) -> None:
    result = runner.invoke(app, ["chat", "--base-url", server.base_url, "--model", "offline/echo", "Why?"])
    assert (result.exit_code, result.stdout) == (0, TEXT + "\n")
    (asked,) = server.asked("POST", "/v1/responses")
    assert asked == {"input": "Why?", "model": "offline/echo", **STREAMED}


def test_what_is_piped_in_follows_the_question(runner: CliRunner, server: FakeServer) -> None:
    runner.invoke(app, ["chat", "--base-url", server.base_url, "Sum up:"], input="a long text\n")
    runner.invoke(app, ["chat", "--base-url", server.base_url], input="only piped\n")
    asked = [body["input"] for body in server.asked("POST", "/v1/responses")]
    assert asked == ["Sum up:\n\na long text", "only piped"]


def test_a_conversation_and_a_key_are_sent_along(runner: CliRunner, server: FakeServer) -> None:
    options = ["--base-url", server.base_url + "/v1/", "--api-key", "sk-test", "-c", "conv_7"]
    assert runner.invoke(app, ["chat", *options, "Hello"]).exit_code == 0
    assert server.asked("POST", "/v1/responses")[0]["conversation"] == "conv_7"
    assert server.authorization == ["Bearer sk-test"]


def test_a_failed_answer_exits_with_1_and_says_why(runner: CliRunner, server: FakeServer) -> None:
    server.events = answer_events(status="failed")
    result = runner.invoke(app, ["chat", "--base-url", server.base_url, "Hello"])
    assert result.exit_code == 1
    assert "the model went away" in result.stderr
    assert result.stdout == TEXT + "\n"


def test_no_server_is_said_at_once(runner: CliRunner) -> None:
    result = runner.invoke(app, ["chat", "--base-url", "http://127.0.0.1:9", "Hello"])
    assert result.exit_code == 1
    assert "no server at http://127.0.0.1:9" in result.stderr


def test_a_refusal_shows_the_servers_words(runner: CliRunner, server: FakeServer) -> None:
    server.refusals["POST /v1/responses"] = (400, "no such model")
    result = runner.invoke(app, ["chat", "--base-url", server.base_url, "Hello"])
    assert (result.exit_code, result.stderr) == (1, "no such model\n")


def test_without_a_question_and_a_terminal_it_says_what_is_missing(
    runner: CliRunner, server: FakeServer
) -> None:
    result = runner.invoke(app, ["chat", "--base-url", server.base_url])
    assert result.exit_code == 1
    assert "nothing was asked" in result.stderr


# --- broken connections


@pytest.mark.parametrize("cuts", [[1], [2], [3, 1], [1, 1, 1, 1, 1], [6]])
def test_a_broken_stream_goes_on_where_it_stopped(server: FakeServer, cuts: list[int]) -> None:
    server.break_after = list(cuts)
    events = list(AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"}))
    assert [event.sequence_number for event in events] == list(range(len(server.events)))
    resumed = [path for method, path, _ in server.requests if method == "GET"]
    seen = [sum(cuts[: n + 1]) - 1 for n in range(len(cuts))]
    assert resumed == [f"/v1/responses/resp_1?stream=true&starting_after={n}" for n in seen]


def test_a_stream_that_broke_before_its_first_event_is_asked_again_under_the_same_key(
    server: FakeServer,
) -> None:
    server.break_after = [0]
    events = list(AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"}))
    assert len(events) == len(server.events)
    assert len(server.keys) == 2
    assert server.keys[0] is not None
    assert server.keys[0] == server.keys[1]


def test_it_gives_up_when_nothing_new_comes(server: FakeServer) -> None:
    server.break_after = [2] + [0] * 20
    with pytest.raises(ConnectionBroken):
        list(AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"}))
    assert len(server.requests) == 1 + 5


def test_a_refusal_is_not_repeated(server: FakeServer) -> None:
    server.refusals["POST /v1/responses"] = (503, "draining")
    with pytest.raises(ApiError, match="draining"):
        list(AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"}))
    assert len(server.requests) == 1


def test_an_error_event_ends_the_answer() -> None:
    answer = Answer()
    answer.apply(ServerEvent("error", {"message": "too many requests", "code": "rate_limit_exceeded"}))
    assert (answer.status, answer.problem) == ("failed", "too many requests")


@pytest.mark.parametrize("url", ["ftp://somewhere", "http://", "://"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ClientError, match="not a base URL"):
        ApiClient(url)


def test_a_base_url_may_lack_its_scheme_or_carry_v1(server: FakeServer) -> None:
    bare = server.base_url.removeprefix("http://")
    for url in (bare, f"{bare}/", f"{server.base_url}/v1", f"{server.base_url}/v1/"):
        assert ApiClient(url).get("/health") == {"status": "ok"}


def test_nothing_listening_is_told_apart_from_a_broken_answer() -> None:
    with pytest.raises(NoServer):
        ApiClient("http://127.0.0.1:9").get("/health")


# --- the talk


def test_the_first_message_begins_a_conversation(server: FakeServer) -> None:
    talk = Talk(server, None)
    assert talk("Hello") == TEXT + "\n"
    talk("And?")
    assert len(server.asked("POST", "/v1/conversations")) == 1
    assert [body["conversation"] for body in server.asked("POST", "/v1/responses")] == ["conv_1", "conv_1"]


def test_new_begins_another(talk: Talk, server: FakeServer) -> None:
    talk("/new")
    talk("Hello")
    assert len(server.asked("POST", "/v1/conversations")) == 1


def test_list_and_open_by_number_or_id(talk: Talk) -> None:
    assert "Moons" in talk("/list")
    assert "first question" in talk("/open 2")
    assert talk.session.conversation_id == "conv_7"
    talk("/new")
    talk("/open conv_7")
    assert talk.session.conversation_id == "conv_7"


def test_branch_cuts_n_items_back_and_goes_there(talk: Talk, server: FakeServer) -> None:
    assert "on branch draft" in talk("/branch draft 2")
    assert server.asked("POST", "/v1/conversations/conv_1/branches") == [
        {"name": "draft", "item_id": "msg_2", "activate": True}
    ]
    talk("/branch draft")
    assert server.asked("POST", "/v1/conversations/conv_1/branches")[1]["item_id"] == "msg_4"
    assert "only 4 items" in talk("/branch draft 9")


def test_switch_finds_a_branch_by_name(talk: Talk, server: FakeServer) -> None:
    assert "other" in talk("/branches")
    assert "on branch other" in talk("/switch other")
    assert server.asked("PUT", "/v1/conversations/conv_1/branches/br_2/activate")
    assert "no branch is called none" in talk("/switch none")


def test_edit_replaces_the_last_question_and_shows_the_answer(talk: Talk, server: FakeServer) -> None:
    talk("/model groq/llama")
    assert talk("/edit a better question") == TEXT + "\n"
    assert server.asked("POST", "/v1/conversations/conv_1/items/msg_3/edit") == [
        {"content": "a better question", "model": "groq/llama", **STREAMED}
    ]


def test_retry_regenerates_the_last_answer_with_the_model_named(talk: Talk, server: FakeServer) -> None:
    talk("/retry")
    talk("/retry groq/llama")
    path = "/v1/conversations/conv_1/items/msg_4/regenerate"
    assert server.asked("POST", path) == [STREAMED, {"model": "groq/llama", **STREAMED}]


def test_fork_continues_elsewhere(talk: Talk, server: FakeServer) -> None:
    assert "conv_9" in talk("/fork")
    assert server.asked("POST", "/v1/conversations/conv_1/fork") == [{"item_id": "msg_4"}]
    assert talk.session.conversation_id == "conv_9"


def test_items_are_counted_from_the_end(talk: Talk) -> None:
    lines = talk("/items").splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1", "0"]
    assert "assistant: second answer" in lines[-1]


def test_models_marks_the_one_in_use(talk: Talk) -> None:
    talk("/model groq/llama")
    assert any(line.split() == ["*", "groq/llama"] for line in talk("/models").splitlines())


def test_help_names_every_command_and_a_wrong_one_is_told(talk: Talk) -> None:
    shown = talk("/help")
    assert all(command.usage in shown for command in COMMANDS.values())
    assert "/help lists them" in talk("/nonsense")


@pytest.mark.parametrize("line", ["/branches", "/tree", "/items", "/edit x", "/retry", "/fork"])
def test_commands_that_need_a_conversation_say_so(server: FakeServer, line: str) -> None:
    assert "no conversation yet" in Talk(server, None)(line)


@pytest.mark.parametrize("line", ["/branch", "/branch a b", "/edit", "/open"])
def test_a_command_without_its_words_shows_its_usage(talk: Talk, line: str) -> None:
    assert "usage:" in talk(line)


def test_a_failure_ends_the_command_and_not_the_talk(talk: Talk, server: FakeServer) -> None:
    server.refusals["POST /v1/responses"] = (429, "slow down")
    assert talk("Hello") == "slow down\n"
    del server.refusals["POST /v1/responses"]
    assert talk("Hello") == TEXT + "\n"


def test_ctrl_c_stops_the_answer_on_the_server(talk: Talk, server: FakeServer) -> None:
    stream = AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"})

    class Interrupted:
        response_id = None

        def __iter__(self) -> "Interrupted":
            self.events = iter(stream)
            return self

        def __next__(self) -> ServerEvent:
            event = next(self.events)
            if event.type.endswith("delta"):
                raise KeyboardInterrupt
            return event

        stop = staticmethod(stream.stop)

    talk.chat.answer(Interrupted())  # type: ignore[arg-type]
    assert server.asked("POST", "/v1/responses/resp_1/cancel") == [{}]
    assert "stopped" in talk.out.getvalue()


# --- what is shown


def test_a_models_words_cannot_steer_the_terminal() -> None:
    assert harmless("a\x1b]0;title\x07b\x9b31mc\r\n\td") == "a]0;titleb31mc\n\td"


def test_a_terminal_gets_markdown(server: FakeServer) -> None:
    out = io.StringIO()
    view = View(Console(file=out, force_terminal=True, width=60, height=10, color_system="standard"))
    view.answer(AnswerStream(ApiClient(server.base_url), "/v1/responses", {"input": "Why?"}))
    last = out.getvalue().splitlines()[-1]
    assert "\x1b[1mfour\x1b[0m" in last
    assert "**" not in last


def test_a_preview_is_one_line() -> None:
    item = {"type": "message", "role": "user", "content": "two\nlines " + "x" * 100}
    assert preview(item).startswith("user: two lines xxx")
    assert preview(item).endswith("…")
    assert preview({"type": "function_call", "name": "weather"}) == "function_call weather"


def test_a_tree_hangs_each_segment_on_its_parent() -> None:
    segments = [
        {
            "id": "a",
            "item_count": 4,
            "first_item": {"role": "user", "preview": "Why?"},
            "last_item": {"id": "msg_9"},
        },
        {
            "id": "b",
            "item_count": 1,
            "first_item": {"role": "user", "preview": "How?"},
            "last_item": {"id": "msg_5"},
        },
    ]
    segments[1]["parent_segment_id"] = "a"
    branches = [
        {"name": "main", "head_item_id": "item_9", "active": True},
        {"name": "try", "head_item_id": "item_5", "active": False},
    ]
    (trunk,) = segment_tree("conv_1", segments, branches).children
    assert str(trunk.label) == "user: Why?  +3  (main*)"
    assert [str(child.label) for child in trunk.children] == ["user: How?  (try)"]


def test_the_talk_runs_in_a_terminal(server: FakeServer) -> None:
    """A real pseudo-terminal: a question is answered, Ctrl-D leaves."""
    main, end = pty.openpty()
    command = [sys.executable, "-m", "antiphon", "chat", "--base-url", server.base_url]
    process = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, close_fds=True)
    os.close(end)
    try:
        _read_until(main, r"/help lists the commands.*› ")
        os.write(main, b"Why?\n")
        _read_until(main, r"words\..*› ")
        os.write(main, b"\x04")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(main)


def _read_until(descriptor: int, wanted: str) -> None:
    shown, deadline = b"", time.monotonic() + 20
    while not re.search(wanted, shown.decode(errors="replace"), re.DOTALL):
        assert time.monotonic() < deadline, shown
        if select.select([descriptor], [], [], 0.2)[0]:
            shown += os.read(descriptor, 4096)


def test_what_is_found_can_be_opened_by_its_number(talk: Talk, server: FakeServer) -> None:
    hits = [
        {
            "id": f"msg_{n}", "role": "user", "conversation": {"id": f"conv_{n}", "title": f"title {n}"},
            "snippet": {"text": f"tides \n of {n}"},
        }
        for n in (1, 7)
    ]  # fmt: skip
    server.replies["GET /v1/search"] = page(hits)
    shown = talk("/search high tides")
    assert "title 7" in shown and "tides of 7" in shown
    assert any("query=high+tides" in path for _, path, _ in server.requests)
    talk("/open 2")
    assert talk.session.conversation_id == "conv_7"
    assert "usage" in talk("/search")
