"""`/v1/admin/limits` and usage: what callers may use, and what they used."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BeforeValidator, Field

from antiphon.api.dependencies import After, App, Caller, IdentityRoute, Limit, Visitor
from antiphon.api.v1.conversation_bodies import Body, Model
from antiphon.api.v1.pages import answer, page_object
from antiphon.application import Application
from antiphon.domain import limits
from antiphon.domain.accounts import USER, Principal
from antiphon.domain.errors import Unprocessable
from antiphon.domain.usage import UsageBucket, UsageSum, UserUsage
from antiphon.services.limits import shown_scope
from antiphon.services.usage import Bucket, Days, bucket_id, day_of, sum_id

router = APIRouter(prefix="/v1", tags=["limits"], route_class=IdentityRoute)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _written_out(value: Any) -> Any:
    """Refuse what is no `YYYY-MM-DD`: the validator takes numbers for seconds since 1970."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("a day is written as YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_written_out)]
Start = Annotated[Day | None, Query(description="The first day (UTC); 29 days before the last by default.")]
End = Annotated[Day | None, Query(description="The last day (UTC), included; today by default.")]


Stretch = Annotated[Bucket, Query(description="How long each stretch of time is (UTC).")]
OfModel = Annotated[str | None, Query(max_length=256, description="One model only, as `provider/model`.")]
Together = Annotated[bool, Query(description="Add the models up: one entry for each stretch of time.")]
MAX_SERIES = 1_000
SeriesLimit = Annotated[int, Query(ge=1, le=MAX_SERIES, description="How many entries a page holds.")]


class NewLimit(Body):
    """At most `amount` of a metric in a period; money in units, e.g. 10.50."""

    scope: Annotated[str, Field(max_length=64, description="`everyone`, or a user's, group's or key's id.")]
    metric: Literal["requests", "tokens", "cost"]
    period: Literal["minute", "day", "month"]
    amount: Annotated[int | float, Field(ge=0, le=limits.MAX_AMOUNT, allow_inf_nan=False)]
    model: Annotated[Model | None, Field(description="One model only, as `provider/model`.")] = None


@router.get("/admin/limits", summary="List limits")
async def list_limits(
    application: App,
    who: Caller,
    after: After = None,
    limit: Limit = 20,
    scope: Annotated[str | None, Query(description="Those of one scope only.")] = None,
) -> Response:
    """List limits; configured ones are marked."""
    page = await application.limits.page(scope, after=after, limit=limit)
    return answer(page_object([_limit(application, one) for one in page.data], has_more=page.has_more))


@router.post("/admin/limits", summary="Set a limit")
async def set_limit(application: App, who: Caller, visit: Visitor, body: NewLimit) -> Response:
    """Set a limit, in the place of an earlier one on the same scope, metric, period and model."""
    if body.metric == "cost":
        amount = round(body.amount * limits.MONEY)
    elif body.amount != int(body.amount):
        raise Unprocessable("Requests and tokens are whole.", code="invalid_value", param="amount")
    else:
        amount = int(body.amount)
    made = await application.limits.set(
        who, body.scope, body.metric, body.period, amount, model=body.model or "", visit=visit
    )
    return answer(_limit(application, made))


@router.delete("/admin/limits/{limit_id}", summary="Delete a limit")
async def delete_limit(application: App, who: Caller, visit: Visitor, limit_id: str) -> Response:
    """Delete a limit; a configured one that it stood in for holds again."""
    deleted = await application.limits.delete(who, limit_id, visit)
    return answer({"id": limits.LIMIT + deleted, "object": "limit", "deleted": True})


@router.get("/usage", summary="List your usage")
async def list_usage(
    application: App,
    who: Caller,
    start: Start = None,
    end: End = None,
    after: After = None,
    limit: Limit = 20,
) -> Response:
    """List what you used by day and model, oldest first."""
    return answer(await _usage_page(application, who, application.usage.days(start, end), after, limit))


@router.get("/usage/series", summary="Your usage over time")
async def list_series(
    application: App,
    who: Caller,
    start: Start = None,
    end: End = None,
    bucket: Stretch = "day",
    model: OfModel = None,
    together: Together = False,
    after: After = None,
    limit: SeriesLimit = MAX_SERIES,
) -> Response:
    """List what you used by day or hour and model, with errors and latencies, oldest first."""
    days = application.usage.days(start, end)
    asked = {"model": model, "together": together, "after": after, "limit": limit}
    return answer(await _series(application, who, days, bucket, **asked))


@router.get("/admin/usage/series", summary="Usage over time")
async def list_all_series(
    application: App,
    who: Caller,
    start: Start = None,
    end: End = None,
    bucket: Stretch = "day",
    model: OfModel = None,
    user: Annotated[str | None, Query(description="One user's use; everybody's by default.")] = None,
    together: Together = False,
    after: After = None,
    limit: SeriesLimit = MAX_SERIES,
) -> Response:
    """List what everybody, or one user, used by day or hour and model, with errors and latencies."""
    days = application.usage.days(start, end)
    whose = await application.usage.user(user) if user is not None else None
    asked = {"model": model, "together": together, "after": after, "limit": limit}
    return answer(await _series(application, whose, days, bucket, **asked))


@router.get("/usage/limits", summary="List your limits")
async def list_own_limits(application: App, who: Caller) -> Response:
    """List every limit that applies to you, with what is used and when it resets."""
    found = await application.usage.standing(who)
    data = [
        _limit(application, one)
        | {
            "used": _amount(one, counter.used),
            "reserved": _amount(one, counter.reserved),
            "remaining": _amount(one, max(one.amount - counter.used - counter.reserved, 0)),
            "reset_seconds": math.ceil(seconds),
        }
        for one, counter, seconds in found
    ]
    return answer(page_object(data, has_more=False))


@router.get("/admin/usage", summary="List usage")
async def list_all_usage(
    application: App,
    who: Caller,
    start: Start = None,
    end: End = None,
    after: After = None,
    limit: Limit = 20,
    user: Annotated[str | None, Query(description="One user's use, by day and model.")] = None,
) -> Response:
    """List what each user used of each model, or one user's use by day and model."""
    days = application.usage.days(start, end)
    if user is not None:
        whose = await application.usage.user(user)
        return answer(await _usage_page(application, whose, days, after, limit))
    page = await application.usage.by_user(days, after=after, limit=limit)
    return answer(_period(days) | page_object([_user(one) for one in page.data], has_more=page.has_more))


def _limit(application: Application, one: limits.Limit) -> dict[str, Any]:
    return {
        "id": limits.LIMIT + one.id,
        "object": "limit",
        "scope": shown_scope(one.scope),
        "metric": one.metric,
        "period": one.period,
        "amount": _amount(one, one.amount),
        "model": one.model or None,
        "configured": one in application.quotas.defaults,
    }


def _amount(one: limits.Limit, value: int) -> int | float:
    return value / limits.MONEY if one.metric == "cost" else value


def _period(days: Days) -> dict[str, Any]:
    return {"start": str(day_of(days.first)), "end": str(day_of(days.last))}


async def _usage_page(
    application: Application, who: Principal, days: Days, after: str | None, limit: int
) -> dict[str, Any]:
    page = await application.usage.own(who, days, after=after, limit=limit)
    data = [
        {"id": sum_id(one), "object": "usage", "date": str(day_of(one.day)), "model": one.model}
        | _sums([one])
        for one in page.data
    ]
    totals = _sums(await application.usage.total(who, days))
    return _period(days) | {"totals": totals} | page_object(data, has_more=page.has_more)


async def _series(
    application: Application, who: Principal | None, days: Days, bucket: Bucket, **fields: Any
) -> dict[str, Any]:
    page = await application.usage.series(who, days, bucket, **fields)
    data = [
        {
            "id": bucket_id(one),
            "object": "usage.bucket",
            "start_at": one.start_us // 1_000_000,
            "model": one.model or None,
            "errors": one.errors,
            "latency_ms": {"p50": one.p50_us // 1_000, "p95": one.p95_us // 1_000},
        }
        | _sums([one])
        for one in page.data
    ]
    return _period(days) | {"bucket": bucket} | page_object(data, has_more=page.has_more)


def _user(one: UserUsage) -> dict[str, Any]:
    by_model = [{"model": each.model} | _sums([each]) for each in one.models]
    return {
        "id": USER + one.account_id,
        "object": "usage.user",
        "name": one.name,
        **_sums(one.models),
        "models": by_model,
    }


def _sums(found: Sequence[UsageSum | UsageBucket]) -> dict[str, Any]:
    names = ("requests", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens")
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in found) for name in names}
    return sums | {"cost": sum(one.cost for one in found) / limits.MONEY}
