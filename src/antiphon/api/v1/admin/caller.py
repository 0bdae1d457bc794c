"""The administrator who asks, as a route's parameter."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from antiphon.api.dependencies import App, Caller, Visitor
from antiphon.services.admin import Administration
from antiphon.services.administration import Administrator, administrator


async def admin_of(who: Caller, visit: Visitor) -> Administrator:
    """Return the caller as administrator; raises Unauthenticated, Forbidden."""
    return administrator(who, visit)


async def services_of(application: App) -> Administration:
    """Return the services of administration."""
    return application.administration


Admin = Annotated[Administrator, Depends(admin_of)]
Services = Annotated[Administration, Depends(services_of)]
