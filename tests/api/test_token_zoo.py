"""T21, T25: every token that is not one of ours gets the same answer, soon, and nobody gets another's."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from typing import Any

import pytest

from antiphon.services.keyring import Keyring
from antiphon.services.tokens import Kind
from tests.api.people_fixtures import Town
from tests.harness.people import SECRET_KEY, Person, carry

Json = dict[str, Any]
KEYRING = Keyring(SECRET_KEY)
ALGORITHMS = ("None", "nOnE", "HS384", "HS512", "RS256", "ES256")


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def forge(
    token: str, head: Json | None = None, claims: Json | bytes | None = None, *, key: bytes | None = None
) -> str:
    """A token with other contents, properly signed with the server's own key (or another)."""
    first, second, _ = token.split(".")
    header = {**json.loads(unb64(first)), **(head or {})}
    body = claims if isinstance(claims, bytes) else None
    if body is None:
        found = {**json.loads(unb64(second)), **(claims or {})}  # type: ignore[dict-item]
        body = json.dumps({n: v for n, v in found.items() if v is not None}, separators=(",", ":")).encode()
    signed = f"{b64(json.dumps(header, separators=(',', ':'), sort_keys=True).encode())}.{b64(body)}"
    made = hmac.new(key or KEYRING.key(Kind.ACCESS.audience), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(made)}"


NONE = b64(b'{"alg":"none","typ":"at+jwt"}')


def respell(token: str) -> str:
    """The same signature with other unused bits in its last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = alphabet.index(token[-1])
    return token[:-1] + alphabet[at ^ 1]


def zoo(ada: Person, other_account: str) -> dict[str, str]:
    token, now = ada.access, int(time.time())
    head, body, signature = token.split(".")
    claims: Json = json.loads(unb64(body))
    doubled = unb64(body).replace(b'"sub":', b'"sub":"%b","sub":' % other_account.encode())
    return {
        "nothing": "",
        "a word": "x",
        "dots": "..",
        "many parts": token + ".x",
        "two parts": f"{head}.{body}",
        "no signature": f"{head}.{body}.",
        "cut": token[:-1],
        "longer": token + "A",
        "respelled": respell(token),
        "padded": token + "=",
        "spaced": token.replace(".", ". "),
        "upper case": token.upper(),
        "alg none": f"{NONE}.{body}.",
        **{f"alg {alg}": forge(token, {"alg": alg}) for alg in ALGORITHMS},
        "another key": forge(token, key=b"x" * 32),
        "an empty key": forge(token, {"kid": ""}, key=b"\0"),
        "the plain secret as key": forge(token, key=SECRET_KEY.encode()),
        "kid elsewhere": forge(token, {"kid": "../../dev/null"}),
        "kid unknown": forge(token, {"kid": "00000000"}),
        "jku": forge(token, {"jku": "http://127.0.0.1:9/keys"}),
        "x5u": forge(token, {"x5u": "http://127.0.0.1:9/"}),
        "jwk": forge(token, {"jwk": {"kty": "oct", "k": b64(b"x" * 32)}}),
        "crit": forge(token, {"crit": ["b64"], "b64": True}),
        "typ JWT": forge(token, {"typ": "JWT"}),
        **{f"without {name}": forge(token, claims={name: None}) for name in claims},
        "expired": forge(token, claims={"iat": now - 1000, "exp": now - 100}),
        "a hundred years": forge(token, claims={"exp": now + 100 * 365 * 86400}),
        "made tomorrow": forge(token, claims={"iat": now + 86400, "exp": now + 86400 + 900}),
        "not yet": forge(token, claims={"nbf": now + 3600}),
        "iss": forge(token, claims={"iss": "elsewhere"}),
        "aud": forge(token, claims={"aud": "antiphon:refresh"}),
        "two audiences": forge(token, claims={"aud": ["antiphon:access", "x"]}),
        "another person": forge(token, claims={"sub": other_account}),
        "no session": forge(token, claims={"sid": "0" * 32}),
        "epoch": forge(token, claims={"epoch": 1}),
        "epoch as text": forge(token, claims={"epoch": "0"}),
        "exp as text": forge(token, claims={"exp": str(now + 9)}),
        "a role besides": forge(token, claims={"role": "admin"}),
        "sub is a number": forge(token, claims={"sub": 5}),
        "a claim twice": forge(token, claims=doubled),
        "no object": forge(token, claims=b"[]"),
        "no json": forge(token, claims=b"{"),
        "spaces": forge(token, claims=unb64(body).replace(b",", b", ")),
        "deep": forge(token, claims=b"[" * 100_000),
        "NaN": forge(token, claims={"exp": float("nan")}),
        "a megabyte": token + "A" * 1_000_000,
        "5 KiB": token + "A" * 5_000,
        "refresh": ada.tokens["refresh_token"],
        "sql": "antk_' OR 1=1--",
        "nul": "antk_\0x",
        "bytes": "antk_\xff",
        "a digest": "antk_" + hashlib.sha256(b"x").hexdigest(),
        "head only": f"{head}..{signature}",
    }


async def test_the_whole_zoo_gets_one_answer(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    key, cookie = await ada.key(), await ada.cookie()
    animals = {**zoo(ada, bob.account.id), "cookie": cookie, "cut key": key[:-1], "key of 20": key[:20]}
    assert (await ada.call("GET", "/v1/auth/me")).json()["name"] == "ada"
    assert len(animals) > 60
    answers: set[Any] = set()
    for name, token in animals.items():
        for carrier in ("bearer", "x-api-key"):
            headers = [(n.encode(), v.encode("latin-1")) for n, v in carry(carrier, token).items()]
            took: list[float] = []
            while not took or (took[-1] >= 0.25 and len(took) < 3):  # a machine may stand still once
                began = time.monotonic()
                response = await town.http.get("/v1/auth/me", headers=headers)
                took.append(time.monotonic() - began)
            assert response.status_code == 401, (name, response.text)
            assert took[-1] < 0.25, (name, took)
            del response.headers["x-request-id"]  # no two have the same
            answers.add((response.content, tuple(sorted(response.headers.items()))))
    assert len(answers) == 1
    assert (await ada.call("GET", "/v1/auth/me")).json()["name"] == "ada", "the real one still holds"


async def test_the_zoo_does_not_refresh_either(town: Town) -> None:
    ada = await town.person("ada")
    refresh, answers = ada.tokens["refresh_token"], set()
    refresh_key = KEYRING.key(Kind.REFRESH.audience)
    for token in (
        ada.access,
        await ada.cookie(),
        "",
        "x",
        refresh[:-1],
        respell(refresh),
        refresh + "=",
        forge(refresh, claims={"gen": 7}),
        forge(refresh, claims={"gen": -1}, key=refresh_key + b"x"),
        forge(refresh, claims={"sub": "0" * 32}, key=refresh_key),
        forge(refresh, {"typ": "at+jwt"}, key=refresh_key),
    ):
        response = await town.http.post(
            "/token", json={"grant_type": "refresh_token", "refresh_token": token}
        )
        assert response.status_code == 401, token
        answers.add(response.content)
    assert len(answers) == 1
    assert (await ada.refresh()).status_code == 200


async def test_a_forgery_with_the_right_key_and_nothing_changed_is_the_token_itself(town: Town) -> None:
    ada = await town.person("ada")
    assert forge(ada.access) == ada.access, "so that the zoo's animals differ in what they mean to"


async def test_a_token_ends_when_it_says(town: Town) -> None:
    ada = await town.person("ada")
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    town.clock.forward(840)
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
    town.clock.forward(61)
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 401
    assert (await ada.refresh()).status_code == 200
    assert (await ada.call("GET", "/v1/auth/me")).status_code == 200


async def test_a_session_that_is_never_used_ends_and_a_used_one_not_before_its_time(town: Town) -> None:
    ada, bob = await town.person("ada"), await town.person("bob")
    for _ in range(4):
        town.clock.forward(20 * 86400)
        assert (await ada.refresh()).status_code == 200
    assert (await bob.refresh()).status_code == 401
    town.clock.forward(11 * 86400)
    assert (await ada.refresh()).status_code == 401, "90 days after the login"


async def test_tokens_that_begin_alike_are_never_mixed_up(town: Town) -> None:
    """T25: 20 people, 4,000 interleaved requests with every credential, a third of them broken off."""
    people = [await town.person(f"p{n}") for n in range(20)]
    assert len({one.access[:60] for one in people}) == 1, "their first bytes are the same"
    shown = [(one.account.name, carry("bearer", one.access)) for one in people]
    shown += [(one.account.name, carry("x-api-key", await one.key())) for one in people]
    shown += [(one.account.name, carry("cookie", await one.cookie())) for one in people]
    dice = random.Random(7)

    async def ask(name: str, headers: dict[str, str]) -> None:
        response = await town.http.get("/v1/auth/me", headers=headers)
        assert response.status_code == 200 and response.json()["name"] == name

    for _ in range(40):
        tasks = [asyncio.create_task(ask(*dice.choice(shown))) for _ in range(100)]
        for task in dice.sample(tasks, 33):
            asyncio.get_running_loop().call_later(dice.random() / 50, task.cancel)
        town.clock.forward(dice.choice((0, 0, 3)))
        for done in await asyncio.gather(*tasks, return_exceptions=True):
            assert done is None or isinstance(done, asyncio.CancelledError), done


async def test_after_a_rotation_of_the_secret_earlier_tokens_hold_until_it_is_dropped(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.api.people_fixtures import opened_town

    newer = "9" + SECRET_KEY[1:-1] + "0"
    async with opened_town(tmp_path / "data", monkeypatch) as before:
        ada = await before.person("ada")
    async with opened_town(
        tmp_path / "data", monkeypatch, secret_key=newer, secret_key_previous=SECRET_KEY
    ) as town:
        ada.http = town.http
        assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
        old = ada.access
        assert (await ada.refresh()).status_code == 200
    async with opened_town(tmp_path / "data", monkeypatch, secret_key=newer) as town:
        ada.http = town.http
        assert (await ada.call("GET", "/v1/auth/me")).status_code == 200
        assert (await town.http.get("/v1/auth/me", headers=carry("bearer", old))).status_code == 401
