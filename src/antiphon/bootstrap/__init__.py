"""The composition root: settings → adapters → services → Application."""

from antiphon.bootstrap.assembly import assemble
from antiphon.bootstrap.embedding import Embedders
from antiphon.bootstrap.identity import local_owner, open_secrets
from antiphon.bootstrap.opening import open_application, open_at_rest
from antiphon.bootstrap.timing import Drain, SystemClock

__all__ = [
    "Drain",
    "Embedders",
    "SystemClock",
    "assemble",
    "local_owner",
    "open_application",
    "open_at_rest",
    "open_secrets",
]
