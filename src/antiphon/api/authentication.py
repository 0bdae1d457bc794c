"""From a request's credential to a Principal.

Open on loopback, everybody is the local owner, whatever key an SDK sends along; a server that
others can reach wants its API key, as a bearer token or in `x-api-key`. Never in the URL.
"""

from __future__ import annotations

import hashlib
import hmac

from antiphon.api.http import Scope, header
from antiphon.application import Application
from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Unauthenticated


def principal_of(application: Application, scope: Scope) -> Principal:
    """Return who asks; raises Unauthenticated with one message for every kind of bad credential."""
    wanted = application.policy.api_key_hash
    if wanted is None:
        return application.owner
    shown = header(scope, b"authorization")
    key = shown[7:] if shown and shown[:7].lower() == "bearer " else header(scope, b"x-api-key")
    if key is None or not hmac.compare_digest(hashlib.sha256(key.encode()).digest(), wanted):
        raise Unauthenticated("Incorrect API key provided, or none.")
    return application.owner
