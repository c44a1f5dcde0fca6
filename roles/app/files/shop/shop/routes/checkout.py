"""Paying for an order: once, however often it is asked for, and refused at once while payments are out of order."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException
from pydantic import BaseModel, Field
from resilience.client import DependencyFailed, ServiceClient
from resilience.errors import Refusal
from resilience.rate_limit import Policy, limit

from shop.errors import LIMITED, answers
from shop.orders import TABLE, amount
from shop.upstream import understood

# Seconds to come back after, when nobody knows better.
COME_BACK = 5.0


class Checkout(BaseModel):
    """What is to be paid."""

    order: int = Field(ge=1)


class Charge(BaseModel):
    """What payments answer."""

    id: str
    amount: int


class Receipt(BaseModel):
    """What was paid; `amount` is in cents."""

    order: int
    amount: int
    charge: str


class NotPaid(Refusal):
    """503: payments are out of order, and this is what there is instead of a receipt."""


def router(payments: ServiceClient | None, policy: Policy) -> APIRouter:
    """The routes of this subject; `policy` limits check-outs beside the general limit."""
    routes = APIRouter(tags=["shop"])

    @routes.post("/api/checkout", responses=answers(404, 409, 422, *LIMITED), dependencies=[Depends(limit(policy))])
    async def checkout(
        wanted: Checkout,
        idempotency_key: Annotated[
            str,
            Header(
                min_length=1, max_length=255, description="A new random value for each check-out, kept for repeats."
            ),
        ],
    ) -> Receipt:
        """Pay for an order. The same Idempotency-Key never pays twice: it gets the answer that it got before.

        When payments cannot be reached, or not in time, the answer is 503 with `Retry-After`: ask again with the same
        key. While their breaker is open it comes at once.
        """
        order = TABLE.get(wanted.order)
        if order is None:
            raise HTTPException(404, f"There is no order {wanted.order}.")
        if payments is None:
            raise NotPaid("Nothing can be paid here: set APP_DEPENDENCIES_URL.")
        try:
            answer = await payments.post(
                "/charges", json={"amount": amount(order), "order": order.id}, idempotency_key=idempotency_key
            )
            charge = understood(Charge, answer)
        except Refusal as refusal:
            raise _fallback(refusal) from refusal
        return Receipt(order=order.id, amount=charge.amount, charge=charge.id)

    return routes


def _fallback(refusal: Refusal) -> NotPaid:
    wait = COME_BACK if refusal.retry_after is None else refusal.retry_after
    if isinstance(refusal, DependencyFailed) and refusal.status == 503:
        sentence = "Payments take no calls at the moment, so nothing was charged; your order is kept."
    else:
        sentence = "Payments did not confirm; ask again with the same Idempotency-Key, which never pays twice."
    return NotPaid(sentence, retry_after=wait)
