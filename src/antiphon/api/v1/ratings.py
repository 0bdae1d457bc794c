"""`/v1/responses/{id}/rating` and `/v1/admin/ratings`: what people think of answers."""

from __future__ import annotations

from typing import Any, Final, Literal

from fastapi import APIRouter, Response

from antiphon.api.dependencies import App, Caller, IdentityRoute
from antiphon.api.v1.conversation_bodies import Body
from antiphon.api.v1.limits import End, Start
from antiphon.api.v1.pages import answer, page_object
from antiphon.domain.runs import RATINGS, rating_word
from antiphon.services.usage import day_of

router = APIRouter(prefix="/v1", tags=["extension"], route_class=IdentityRoute)
VALUES: Final = {word: value for value, word in RATINGS.items()}


class Rating(Body):
    """What one thinks of an answer."""

    rating: Literal["good", "bad"]


@router.put("/responses/{response_id}/rating", summary="Rate a response")
async def rate(application: App, who: Caller, response_id: str, body: Rating) -> Response:
    """Call an answer that has ended good or bad, in the place of what was said of it before."""
    run = await application.ratings.rate(who, response_id, VALUES[body.rating])
    return answer(_object(response_id, run.rating))


@router.delete("/responses/{response_id}/rating", summary="Take a rating back")
async def unrate(application: App, who: Caller, response_id: str) -> Response:
    """Take back what was said of an answer; harmless if nothing was."""
    run = await application.ratings.rate(who, response_id, None)
    return answer(_object(response_id, run.rating))


@router.get("/admin/ratings", summary="Count ratings by model")
async def count(application: App, who: Caller, start: Start = None, end: End = None) -> Response:
    """Return how many of the answers begun in these days people called good and bad, by model."""
    days = application.usage.days(start, end)
    found = await application.ratings.by_model(days.since_us, days.until_us)
    data = [
        {"id": one.model, "object": "ratings", "model": one.model, "good": one.good, "bad": one.bad}
        for one in found
    ]
    period = {"start": str(day_of(days.first)), "end": str(day_of(days.last))}
    return answer(period | page_object(data, has_more=False))


def _object(response_id: str, rating: int | None) -> dict[str, Any]:
    return {"object": "response.rating", "response_id": response_id, "rating": rating_word(rating)}
