"""What the doctor asks of the databases of DATABASE_URL and MONGODB_URL: nothing is written to them."""

import asyncio
from collections.abc import Iterator

from antiphon.bootstrap.stores import look_at_database, look_at_mongodb
from antiphon.cli.findings import Finding, State
from antiphon.domain.errors import AntiphonError
from antiphon.settings import Settings

HINT = "see docs/stores.md"
GRANT = "GRANT CREATE ON DATABASE … TO …, once, before the first start"


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the database answers, and who shares it."""
    if settings.database_url is None:
        yield Finding("database", State.SKIP, "no DATABASE_URL: everything is in DATA_DIR", HINT)
        return
    try:
        found = asyncio.run(look_at_database(settings))
    except AntiphonError as error:
        yield Finding("database", State.FAIL, error.message, HINT)
        return
    schema = f"schema {found.revision}" if found.revision else "no schema yet: the first start makes it"
    yield Finding("database", State.OK, f"PostgreSQL {found.version} answers, {schema}")
    if not found.has_knowledge:
        yield Finding("knowledge", State.FAIL, "the account may not make the schema 'knowledge'", GRANT)
        return
    sharing = f"{found.workers} servers share it" if found.workers > 1 else "for as many servers as share it"
    yield Finding("knowledge", State.OK, f"files, vector stores and searches are in it, {sharing}")


def mongodb(settings: Settings) -> Iterator[Finding]:
    """Whether MongoDB answers, where conversations are kept there."""
    if settings.mongodb_url is None:
        yield Finding("mongodb", State.SKIP, "no MONGODB_URL: conversations are where accounts are", HINT)
        return
    try:
        version = asyncio.run(look_at_mongodb(settings))
    except AntiphonError as error:
        yield Finding("mongodb", State.FAIL, error.message, HINT)
        return
    yield Finding("mongodb", State.OK, f"MongoDB {version} answers: conversations and answers are there")
