"""Ports `Accounts` and `Credentials` with the commands that write what they read."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from antiphon.domain import ids
from antiphon.domain.accounts import Account, ApiKey, Credential, Invite, LoginSession
from antiphon.domain.errors import Conflict
from antiphon.ports import account_writes as aw
from antiphon.ports.operation_writes import Audit
from antiphon.ports.storage import Storage
from antiphon.ports.write_sets import Command
from tests.contracts.conftest import Reopen

SLOT = 7
PAGE: dict[str, Any] = {"after": None, "limit": 10, "descending": False}


def new_account(name: str, **fields: Any) -> Account:
    return Account(id=ids.new_id(SLOT), slot=SLOT, name=name, created_us=1, updated_us=1, **fields)


def new_session(account: Account, **fields: Any) -> LoginSession:
    usual: dict[str, Any] = {
        "id": ids.new_id(SLOT), "account_id": account.id, "slot": SLOT, "method": "password", "generation": 0,
        "user_agent": "curl", "address": "127.0.0.1", "created_us": 10, "used_us": 10, "expires_us": 1_000,
    }  # fmt: skip
    return LoginSession(**usual | fields)


def new_key(account: Account, secret: str, **fields: Any) -> aw.NewApiKey:
    usual: dict[str, Any] = {
        "id": ids.new_id(SLOT), "account_id": account.id, "slot": SLOT, "name": "ci", "prefix": "antk_ab",
        "scopes": frozenset({"read"}), "created_us": 10,
    }  # fmt: skip
    return aw.NewApiKey(key=ApiKey(**usual | fields), digest=digest(secret))


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def new_invite(account: Account, secret: str, **fields: Any) -> aw.NewInvite:
    invite = Invite(
        id=ids.new_id(SLOT), created_by=account.id, role="user", created_us=10, expires_us=1_000, **fields
    )
    return aw.NewInvite(invite=invite, digest=digest(secret))


async def commit(storage: Storage, *commands: Command) -> None:
    await storage.unit_of_work.commit(*commands)


async def stored(storage: Storage, name: str = "ada", **fields: Any) -> Account:
    account = new_account(name, **fields)
    await commit(storage, aw.NewAccount(account=account))
    return account


async def open_session(storage: Storage, account: Account, **fields: Any) -> LoginSession:
    session = new_session(account, **fields)
    await commit(storage, aw.NewSession(session=session, epoch=account.epoch))
    return session


async def test_an_account_is_found_by_everything_that_names_it(opening: Reopen) -> None:
    async with opening() as storage:
        account = await stored(
            storage, email="ada@example.org", password_hash="$argon2id$x", group_id=ids.new_id(1), epoch=3
        )
        link = aw.LinkIdentity(
            issuer="https://a",
            subject="1",
            account_id=account.id,
            slot=SLOT,
            provider="p",
            created_us=1,
            most=9,
        )
        await commit(storage, link)
    async with opening() as storage:
        accounts = storage.accounts
        assert await accounts.get(account.id) == account
        assert await accounts.by_name("ada") == account
        assert await accounts.by_email("ada@example.org") == account
        assert await accounts.by_identity("https://a", "1") == account
        assert await accounts.by_identity("https://b", "1") is None
        assert await accounts.by_name("ADA") is None
        assert await accounts.page(**PAGE) == [account]


async def test_preferences_are_replaced_and_go_with_their_account(storage: Storage) -> None:
    ada, bob = await stored(storage), await stored(storage, "bob")
    read = storage.accounts.preferences
    assert await read(ada.id) is None
    for content in (b'{"a":"1"}', b'{"b":"\\u0000\xc3\xa9"}'):
        await commit(storage, aw.PutPreferences(account_id=ada.id, content=content, updated_us=5))
        assert await read(ada.id) == content
    assert await read(bob.id) is None
    await commit(storage, aw.DeleteAccount(account_id=ada.id, now_us=6))
    await commit(storage, aw.PutPreferences(account_id=ada.id, content=b"{}", updated_us=7))
    await commit(storage, aw.PutPreferences(account_id=ids.new_id(SLOT), content=b"{}", updated_us=7))
    assert await read(ada.id) == content, "a deleted account remembers nothing new"
    await commit(storage, aw.EraseAccount(account_id=ada.id))
    assert await read(ada.id) is None


async def test_pages_of_accounts_follow_one_another(storage: Storage) -> None:
    made = [await stored(storage, f"n{n}") for n in range(5)]
    first = await storage.accounts.page(after=None, limit=3, descending=True)
    rest = await storage.accounts.page(after=first[-1].id, limit=3, descending=True)
    assert [*first, *rest] == made[::-1]


async def test_of_fifty_sign_ups_under_one_name_or_address_one_wins(storage: Storage) -> None:
    for fields in ({"name": "same"}, {"email": "same@example.org"}):
        accounts = [new_account(**{"name": f"n{n}", **fields}) for n in range(50)]
        done = await asyncio.gather(
            *(commit(storage, aw.NewAccount(account=one)) for one in accounts), return_exceptions=True
        )
        assert sum(one is None for one in done) == 1
        assert sum(isinstance(one, Conflict) for one in done) == 49


@pytest.mark.parametrize(
    "change",
    [
        {"email": "a@b.c"}, {"password_hash": "h"}, {"role": "admin"}, {"state": "disabled"},
        {"group_id": ids.new_id(1)}, {"retention_days": 30},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
async def test_an_update_changes_what_it_names_and_nothing_else(
    storage: Storage, change: dict[str, Any]
) -> None:
    usual = {"email": "x@y.z", "password_hash": "p", "group_id": ids.new_id(2), "retention_days": 7}
    account = await stored(storage, **usual)
    other = await stored(storage, "bob")
    await commit(storage, aw.UpdateAccount(account_id=account.id, now_us=5, **change))
    expected = msgspec.structs.replace(account, updated_us=5, **change)
    assert await storage.accounts.get(account.id) == expected
    assert await storage.accounts.get(other.id) == other


async def test_an_update_may_empty_a_field(storage: Storage) -> None:
    account = await stored(storage, email="x@y.z")
    await commit(storage, aw.UpdateAccount(account_id=account.id, now_us=5, email=None))
    assert await storage.accounts.by_email("x@y.z") is None


async def test_an_update_with_another_epoch_or_a_taken_address_is_lost(storage: Storage) -> None:
    account = await stored(storage)
    await stored(storage, "bob", email="bob@example.org")
    for wrong in (
        aw.UpdateAccount(account_id=account.id, now_us=5, expected_epoch=1, role="admin"),
        aw.UpdateAccount(account_id=account.id, now_us=5, email="bob@example.org"),
        aw.UpdateAccount(account_id=ids.new_id(1), now_us=5, role="admin"),
    ):
        with pytest.raises(Conflict, match="UpdateAccount"):
            await commit(storage, wrong)
    assert await storage.accounts.get(account.id) == account


async def test_ending_sessions_raises_the_epoch_and_spares_the_kept_one(storage: Storage) -> None:
    account, other = await stored(storage), await stored(storage, "bob")
    kept, ended = await open_session(storage, account), await open_session(storage, account)
    foreign = await open_session(storage, other)
    change = aw.UpdateAccount(
        account_id=account.id, now_us=5, expected_epoch=0, ends_sessions=True, kept_session_id=kept.id,
        password_hash="new",
    )  # fmt: skip
    await commit(storage, change)
    found = await storage.credentials.holding([kept.id, ended.id, foreign.id])
    assert set(found) == {kept.id, foreign.id}
    assert found[kept.id].account.epoch == 1
    with pytest.raises(Conflict):
        await commit(storage, change)


async def test_a_login_is_lost_when_its_account_changed_meanwhile(storage: Storage) -> None:
    account = await stored(storage)
    for change in ({"state": "disabled"}, {"state": "active", "ends_sessions": True}):
        await commit(storage, aw.UpdateAccount(account_id=account.id, now_us=5, **change))
        with pytest.raises(Conflict, match="NewSession"):
            await open_session(storage, account)


async def test_a_session_is_read_with_its_account(storage: Storage) -> None:
    account = await stored(storage)
    session = await open_session(storage, account)
    found = await storage.credentials.session(session.id)
    assert found is not None
    assert (found.account, found.generation, found.expires_us) == (account, 0, 1_000)
    assert found.holds(999) and not found.holds(1_000)
    assert await storage.credentials.sessions(account.id, 999, **PAGE) == [session]
    assert await storage.credentials.sessions(account.id, 1_000, **PAGE) == []
    assert await storage.credentials.sessions(ids.new_id(1), 999, **PAGE) == []
    await commit(storage, aw.TouchSession(session_id=session.id, now_us=50))
    await commit(storage, aw.TouchSession(session_id=session.id, now_us=40))
    assert (await storage.credentials.sessions(account.id, 1, **PAGE))[0].used_us == 50


async def test_of_fifty_rotations_of_one_refresh_token_one_wins(storage: Storage) -> None:
    session = await open_session(storage, await stored(storage))
    rotate = aw.RotateSession(session_id=session.id, generation=0, now_us=20, expires_us=2_000)
    done = await asyncio.gather(*(commit(storage, rotate) for _ in range(50)), return_exceptions=True)
    assert sum(one is None for one in done) == 1
    found = await storage.credentials.session(session.id)
    assert found is not None and (found.generation, found.expires_us) == (1, 2_000)


async def test_a_session_that_is_over_does_not_rotate(storage: Storage) -> None:
    account = await stored(storage)
    expired, revoked = await open_session(storage, account), await open_session(storage, account)
    await commit(storage, aw.RevokeSessions(account_id=account.id, now_us=5, session_id=revoked.id))
    for session, now in ((expired, 1_000), (revoked, 20)):
        rotate = aw.RotateSession(session_id=session.id, generation=0, now_us=now, expires_us=2_000)
        with pytest.raises(Conflict, match="RotateSession"):
            await commit(storage, rotate)


async def test_revoking_takes_the_owners_sessions_that_are_meant(storage: Storage) -> None:
    account, other = await stored(storage), await stored(storage, "bob")
    one, two, three = [await open_session(storage, account) for _ in range(3)]
    foreign = await open_session(storage, other)
    everything = [one.id, two.id, three.id, foreign.id]

    async def left() -> set[str]:
        return set(await storage.credentials.holding(everything))

    await commit(storage, aw.RevokeSessions(account_id=account.id, now_us=5, session_id=foreign.id))
    assert await left() == set(everything), "somebody else's session is not touched"
    await commit(storage, aw.RevokeSessions(account_id=account.id, now_us=5, session_id=one.id))
    assert await left() == {two.id, three.id, foreign.id}
    await commit(storage, aw.RevokeSessions(account_id=account.id, now_us=5, kept_session_id=two.id))
    assert await left() == {two.id, foreign.id}
    await commit(storage, aw.RevokeSessions(account_id=account.id, now_us=5))
    assert await left() == {foreign.id}


async def test_a_key_is_found_by_its_digest_until_it_is_revoked(storage: Storage) -> None:
    account = await stored(storage)
    made = new_key(account, "secret", expires_us=500)
    await commit(storage, made)
    expected = Credential(id=made.key.id, account=account, scopes=frozenset({"read"}), expires_us=500)
    assert await storage.credentials.key(digest("secret")) == expected
    assert await storage.credentials.key(digest("secret")[:20]) is None
    assert await storage.credentials.keys(account.id, **PAGE) == [made.key]
    await commit(storage, aw.TouchApiKeys(used=((made.key.id, 70), (made.key.id, 60))))
    assert (await storage.credentials.keys(account.id, **PAGE))[0].used_us == 70
    with pytest.raises(Conflict):
        await commit(storage, aw.RevokeApiKey(account_id=ids.new_id(1), key_id=made.key.id, now_us=5))
    await commit(storage, aw.RevokeApiKey(account_id=account.id, key_id=made.key.id, now_us=5))
    assert await storage.credentials.key(digest("secret")) is None
    assert await storage.credentials.keys(account.id, **PAGE) == []
    with pytest.raises(Conflict):
        await commit(storage, aw.RevokeApiKey(account_id=account.id, key_id=made.key.id, now_us=5))


async def test_a_disabled_account_has_no_credential_and_gets_none(storage: Storage) -> None:
    account = await stored(storage)
    session, made = await open_session(storage, account), new_key(account, "secret")
    await commit(storage, made)
    assert set(await storage.credentials.holding([session.id, made.key.id])) == {session.id, made.key.id}
    await commit(storage, aw.UpdateAccount(account_id=account.id, now_us=5, state="disabled"))
    assert await storage.credentials.session(session.id) is None
    assert await storage.credentials.key(digest("secret")) is None
    assert await storage.credentials.holding([session.id, made.key.id]) == {}
    with pytest.raises(Conflict, match="NewApiKey"):
        await commit(storage, new_key(account, "other"))
    found = await storage.accounts.get(account.id)
    assert found is not None and found.state == "disabled"


async def test_ten_thousand_credentials_are_read_at_once(storage: Storage) -> None:
    account = await stored(storage)
    session = await open_session(storage, account)
    asked = [ids.new_id(SLOT) for _ in range(10_000)]
    assert set(await storage.credentials.holding([*asked, session.id])) == {session.id}
    assert await storage.credentials.holding([]) == {}


async def test_an_account_has_so_many_identities_and_keeps_a_way_in(storage: Storage) -> None:
    ada, bob = await stored(storage), await stored(storage, "bob", password_hash="$argon2id$x")

    def link(account: Account, subject: str, most: int = 2, **fields: Any) -> aw.LinkIdentity:
        usual = {"issuer": "https://a", "provider": "p", "created_us": int(subject), "email": None}
        return aw.LinkIdentity(
            subject=subject, account_id=account.id, slot=SLOT, most=most, **{**usual, **fields}
        )

    def unlink(account: Account, subject: str, *providers: str) -> aw.UnlinkIdentity:
        return aw.UnlinkIdentity(
            issuer="https://a", subject=subject, account_id=account.id, providers=providers
        )

    await commit(storage, link(ada, "2", email="ada@example.org"), link(ada, "1", provider="q"))
    with pytest.raises(Conflict):
        await commit(storage, link(ada, "3"))
    await commit(storage, link(bob, "3"))
    mine = await storage.accounts.identities(ada.id)
    assert [(one.subject, one.provider, one.email, one.created_us) for one in mine] == [
        ("1", "q", None, 1), ("2", "p", "ada@example.org", 2),
    ]  # fmt: skip
    assert len({one.wire_id for one in mine}) == 2
    for refused in (unlink(ada, "3", "p", "q"), unlink(ada, "1"), unlink(ada, "1", "q")):
        with pytest.raises(Conflict):
            await commit(storage, refused)
    await commit(storage, unlink(ada, "1", "p"), unlink(bob, "3"))
    with pytest.raises(Conflict):
        await commit(storage, unlink(ada, "2", "p", "q"))
    assert [one.subject for one in await storage.accounts.identities(ada.id)] == ["2"]
    assert await storage.accounts.identities(bob.id) == []


async def test_an_identity_is_linked_once(storage: Storage) -> None:
    accounts = [await stored(storage, f"n{n}") for n in range(10)]
    links = [
        aw.LinkIdentity(
            issuer="https://a", subject="1", account_id=one.id, slot=SLOT, provider="p", created_us=1, most=9
        )
        for one in accounts
    ]
    done = await asyncio.gather(*(commit(storage, link) for link in links), return_exceptions=True)
    assert sum(one is None for one in done) == 1


async def test_an_invite_is_used_once_and_with_it_comes_the_account(storage: Storage) -> None:
    host = await stored(storage)
    made = new_invite(host, "anti_x")
    await commit(storage, made)
    assert await storage.credentials.invite(digest("anti_x")) == made.invite
    guests = [new_account(f"g{n}") for n in range(50)]
    done = await asyncio.gather(
        *(
            commit(
                storage, aw.UseInvite(invite_id=made.invite.id, account_id=guest.id, now_us=20),
                aw.NewAccount(account=guest),
            )
            for guest in guests
        ),
        return_exceptions=True,
    )  # fmt: skip
    assert sum(one is None for one in done) == 1
    assert len(await storage.accounts.page(after=None, limit=100, descending=False)) == 2


async def test_an_invite_that_expired_was_used_or_revoked_is_lost(storage: Storage) -> None:
    host = await stored(storage)
    made = new_invite(host, "anti_x")
    await commit(storage, made)
    use = aw.UseInvite(invite_id=made.invite.id, account_id=host.id, now_us=1_000)
    with pytest.raises(Conflict, match="UseInvite"):
        await commit(storage, use)
    await commit(storage, aw.RevokeInvite(invite_id=made.invite.id, now_us=5))
    with pytest.raises(Conflict, match="UseInvite"):
        await commit(storage, msgspec.structs.replace(use, now_us=20))
    with pytest.raises(Conflict, match="RevokeInvite"):
        await commit(storage, aw.RevokeInvite(invite_id=made.invite.id, now_us=5))


async def test_an_administrator_counts_when_a_password_lets_it_in(storage: Storage) -> None:
    for n, fields in enumerate(
        (
            {"role": "admin"},
            {"role": "user", "password_hash": "h"},
            {"role": "admin", "password_hash": "h", "state": "disabled"},
        )
    ):
        await stored(storage, f"n{n}", **fields)
        assert not await storage.accounts.has_administrator()
    await stored(storage, "root", role="admin", password_hash="h")
    assert await storage.accounts.has_administrator()


async def test_forgetting_sessions_takes_those_that_expired_long_ago(storage: Storage) -> None:
    account = await stored(storage)
    old, new = await open_session(storage, account, expires_us=100), await open_session(storage, account)
    with pytest.raises(Conflict, match="ForgetSessions"):
        await commit(storage, aw.ForgetSessions(before_us=500, limit=2, full=True))
    assert set(await storage.credentials.holding([old.id, new.id])) == {old.id, new.id}
    await commit(storage, aw.ForgetSessions(before_us=500, limit=10))
    assert set(await storage.credentials.holding([old.id, new.id])) == {new.id}


async def test_a_lost_guard_takes_its_audit_line_with_it(storage: Storage) -> None:
    account = await stored(storage)
    line = Audit(id=ids.new_id(SLOT), created_us=1, actor_id=account.id, action="user.create")
    with pytest.raises(Conflict):
        await commit(storage, line, aw.NewAccount(account=account))
    await commit(storage, line)  # its id is still free
