"""Limits where turns begin; one that repeats an earlier one by its idempotency key costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.domain.accounts import Principal
from antiphon.domain.errors import Conflict, RateLimited
from antiphon.services.idempotency import Idempotency
from antiphon.services.model_routes import ModelRoute
from antiphon.services.quotas import Grant, Quotas
from antiphon.services.turn_plans import Plan, TurnRequest


class TurnLimits:
    """Asks for leave to begin turns."""

    def __init__(self, quotas: Quotas, idempotency: Idempotency) -> None:
        self._quotas = quotas
        self._idempotency = idempotency

    async def admit(
        self, who: Principal, request: TurnRequest, routes: Sequence[ModelRoute]
    ) -> TurnRequest | None:
        """Count a limited caller's request; None if its key stands for an earlier one. Raises RateLimited."""
        if await self._is_repeated(who, request):
            return None
        try:
            return msgspec.structs.replace(request, rates=await self._quotas.admit(who, routes))
        except RateLimited:
            if await self._is_repeated(who, request):  # by now
                return None
            raise

    async def grant(
        self,
        who: Principal,
        request: TurnRequest,
        routes: Sequence[ModelRoute],
        plans: Sequence[Plan],
        messages: list[dict[str, Any]],
    ) -> Grant:
        """Decide what the planned runs must reserve. Raises RateLimited, and Conflict as a lost `PutKey`."""
        if not who.limits:
            return Grant(routes=routes)
        starting = [(plan.run, route) for plan, route in zip(plans, routes, strict=True)]
        try:
            return await self._quotas.grant(who, request, starting, messages)
        except RateLimited:
            if await self._is_repeated(who, request):
                raise Conflict("PutKey") from None  # what it repeats has taken the rest
            raise

    async def _is_repeated(self, who: Principal, request: TurnRequest) -> bool:
        return request.key is not None and await self._idempotency.taken(who, request.key) is not None
