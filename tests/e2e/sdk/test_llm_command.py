"""The `llm` command line, told about this server by its extra-openai-models.yaml."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.sdk.launch import Server, clean_environment
from tests.e2e.sdk.vocabulary import CODE_WORD, REMEMBER

RUN_SECONDS = 90
MODELS = ("text", "echo", "tools", "json", "fail-before")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
TOOL = """
def get_weather(location: str) -> str:
    "The weather at a place"
    return f"18 degrees, asked for with {type(location).__name__}"
"""

both_apis = pytest.mark.parametrize("api", ["chat", "responses"])


class Command:
    """The command with a home directory of its own."""

    def __init__(self, home: Path) -> None:
        self._environment = clean_environment() | {"LLM_USER_PATH": str(home), "NO_COLOR": "1"}

    def __call__(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llm", *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert (done.returncode != 0) is fails, f"llm {words}:\n{done.stdout}\n{done.stderr}"
        return done.stderr if fails else done.stdout.strip()


@pytest.fixture(scope="module")
def llm(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Command:
    home = tmp_path_factory.mktemp("llm")
    models = [
        {
            "model_id": f"{api}-{name}",
            "model_name": f"scripted/{name}",
            "api_base": server.base_url,
            "api_key_name": "antiphon",
            "supports_tools": True,
            "supports_schema": True,
            "responses": api == "responses",
        }
        for api in ("chat", "responses")
        for name in MODELS
    ]
    (home / "extra-openai-models.yaml").write_text(json.dumps(models))  # JSON is YAML
    (home / "keys.json").write_text(json.dumps({"antiphon": "sk-any"}))
    return Command(home)


@both_apis
def test_streamed_and_whole(llm: Command, api: str) -> None:
    streamed = llm("-m", f"{api}-text", "Hello")
    whole = llm("-m", f"{api}-text", "--no-stream", "Hello")
    assert streamed == whole != ""


@both_apis
def test_usage_is_reported(llm: Command, api: str) -> None:
    llm("-m", f"{api}-text", "--no-stream", "Hello")
    (logged,) = json.loads(llm("logs", "-n", "1", "--json"))
    assert logged["input_tokens"] > 0
    assert logged["output_tokens"] > 0


@both_apis
def test_a_conversation_continues(llm: Command, api: str) -> None:
    llm("-m", f"{api}-echo", REMEMBER)
    assert CODE_WORD in llm("-c", "recall 1")


@both_apis
def test_structured_output(llm: Command, api: str) -> None:
    value = json.loads(llm("-m", f"{api}-json", "--schema", json.dumps(SCHEMA), "Invent somebody."))
    assert isinstance(value["name"], str)
    assert isinstance(value["age"], int)


@both_apis
def test_tools(llm: Command, api: str) -> None:
    assert "asked for with str" in llm("-m", f"{api}-tools", "--functions", TOOL, "Weather?")


def test_a_failing_provider_is_an_error(llm: Command) -> None:
    assert "Error" in llm("-m", "chat-fail-before", "--no-stream", "Hello", fails=True)
