"""Passwords: argon2id at OWASP's minimum or above, few at a time, and nobody's hash for nobody."""

from __future__ import annotations

import asyncio
import threading
import time

import bcrypt
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type

from antiphon.domain.errors import Unavailable, Unprocessable
from antiphon.services.common_passwords import COMMON
from antiphon.services.passwords import KNOWN, MIN_CHARACTERS, Passwords, Verdict, is_bcrypt
from antiphon.storage.memory.attempts import FAILURES, InProcessAttempts

SECRET = "correct horse battery"


def cheap(waiting: int = 256) -> Passwords:
    return Passwords(memory_kib=64, passes=1, waiting=waiting)


async def test_what_is_stored_meets_owasps_minimum_and_differs_every_time() -> None:
    passwords = Passwords()
    one, two = await passwords.hash(SECRET), await passwords.hash(SECRET)
    found = extract_parameters(one)
    assert found.type is Type.ID and found.memory_cost >= 19 * 1024 and found.time_cost >= 2
    assert found.salt_len >= 16 and found.hash_len >= 32 and one != two
    assert (await passwords.verify(one, SECRET)).is_right
    assert not (await passwords.verify(one, SECRET + " ")).is_right
    await passwords.close()


async def test_nobodys_password_is_never_right() -> None:
    passwords = cheap()
    for password in ("", "x", SECRET, "x" * 257, "\ud800", "\0"):
        assert not (await passwords.verify(None, password)).is_right
    await passwords.close()


async def test_a_hash_of_weaker_parameters_is_made_anew_when_it_is_right() -> None:
    passwords = cheap()
    old = PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(SECRET)
    verdict = await passwords.verify(old, SECRET)
    assert verdict.is_right and verdict.new_hash is not None
    again = await passwords.verify(verdict.new_hash, SECRET)
    assert again.is_right and again.new_hash is None
    assert (await passwords.verify(old, "wrong")).new_hash is None
    await passwords.close()


async def test_the_same_password_from_another_keyboard_is_the_same() -> None:
    passwords = cheap()
    stored = await passwords.hash("Ångström-Käse")
    assert (await passwords.verify(stored, "A\u030angstro\u0308m-Ka\u0308se")).is_right
    assert not (await passwords.verify(stored, "Angstrom-Kase")).is_right
    await passwords.close()


async def test_a_stored_hash_that_is_none_is_wrong_and_no_fault() -> None:
    passwords = cheap()
    for stored in ("x", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv", "!"):
        assert not (await passwords.verify(stored, SECRET)).is_right
    await passwords.close()


async def test_no_more_than_two_run_and_no_more_than_a_bound_wait() -> None:
    passwords = cheap(waiting=8)
    gate, running, most = threading.Event(), set(), [0]

    def work() -> None:
        running.add(threading.get_ident())
        most[0] = max(most[0], len(running))
        gate.wait(5)

    held = [asyncio.create_task(passwords._run(work)) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await passwords.hash(SECRET)
    held[0].cancel()
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await passwords.hash(SECRET)  # whoever left has not freed a thread
    gate.set()
    await asyncio.gather(*held, return_exceptions=True)
    assert most[0] == 2
    assert (await passwords.verify(await passwords.hash(SECRET), SECRET)).is_right
    await passwords.close()


async def test_a_flood_of_strangers_leaves_room_for_who_was_here_before() -> None:
    passwords, gate = cheap(waiting=8), threading.Event()
    held = [asyncio.create_task(passwords._run(lambda: gate.wait(5))) for _ in range(8)]
    await asyncio.sleep(0)
    stored = cheap()._nobody
    known = [asyncio.create_task(passwords.verify(stored, SECRET, known=True)) for _ in range(KNOWN)]
    await asyncio.sleep(0)
    for one in (passwords.verify(stored, SECRET), passwords.verify(stored, SECRET, known=True)):
        with pytest.raises(Unavailable):
            await one
    gate.set()
    assert [one.is_right for one in await asyncio.gather(*known)] == [False] * KNOWN
    await asyncio.gather(*held)
    await passwords.close()


async def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    passwords, longest, done = Passwords(), 0.0, asyncio.Event()

    async def hash_many() -> None:
        await asyncio.gather(*(passwords.hash(SECRET) for _ in range(20)))
        done.set()

    hashing = asyncio.create_task(hash_many())
    while not done.is_set():
        began = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - began)
    await hashing
    assert longest < 0.25
    await passwords.close()


@pytest.mark.parametrize("password", [SECRET, "x1y2z3w4", "日本語のパスワード", "  spaces  "])
def test_good_enough_is_good(password: str) -> None:
    cheap().check(password, "ada")


def test_the_commonest_are_long_enough_to_matter_and_all_refused() -> None:
    passwords = cheap()
    assert len(COMMON) > 200 and min(map(len, COMMON)) >= MIN_CHARACTERS
    for password in COMMON:
        for spelling in (password, password.upper(), password.capitalize()):
            with pytest.raises(Unprocessable):
                passwords.check(spelling, "ada")


async def test_failures_are_counted_in_a_moving_window_and_in_bounded_memory() -> None:
    now = [0.0]
    attempts = InProcessAttempts(lambda: now[0], names=1_000)
    for second in range(FAILURES):
        now[0] = float(second)
        assert await attempts.blocked_seconds("ada") == 0.0
        await attempts.failed("ada")
    assert await attempts.blocked_seconds("ada") == pytest.approx(900 - (FAILURES - 1))
    now[0] = 900.0
    assert await attempts.blocked_seconds("ada") == 0.0
    await attempts.failed("ada")
    assert await attempts.blocked_seconds("ada") == pytest.approx(1.0)
    for number in range(5_000):
        await attempts.failed(f"{number}" * 1_000)
    assert len(attempts._failures) == 1_000


# --- hashes from older servers


@pytest.mark.parametrize("prefix", ["2a", "2b", "2y"])
async def test_a_bcrypt_hash_is_verified_and_made_anew(prefix: str) -> None:
    passwords = cheap()
    old = "$" + prefix + bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()[3:]
    assert is_bcrypt(old)
    verdict = await passwords.verify(old, SECRET)
    assert verdict.is_right and verdict.new_hash is not None and verdict.new_hash.startswith("$argon2id$")
    assert (await passwords.verify(verdict.new_hash, SECRET)).is_right
    for wrong in ("", SECRET + " ", SECRET[:-1], SECRET + "\0", "x" * 300):
        assert await passwords.verify(old, wrong) == Verdict(False)
    await passwords.close()


async def test_of_a_long_password_bcrypt_knows_the_beginning_and_its_new_hash_all() -> None:
    passwords, long = cheap(), "x" * 71 + "yz and more"
    old = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()
    verdict = await passwords.verify(old, long)
    assert verdict.is_right and verdict.new_hash is not None
    assert not (await passwords.verify(verdict.new_hash, long + "!")).is_right
    await passwords.close()


@pytest.mark.parametrize(
    "hashed", ["$2b$31$" + "a" * 53, "$2b$12$short", "$2x$12$" + "a" * 53, "$1$abc", "plain"]
)
async def test_what_is_too_dear_or_no_bcrypt_hash_is_nobodys(hashed: str) -> None:
    passwords = cheap()
    assert not is_bcrypt(hashed)
    assert not (await passwords.verify(hashed, SECRET)).is_right
    await passwords.close()
