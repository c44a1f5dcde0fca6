"""Paying for an order: once, however often it is asked for, and refused at once while payments are out of order."""

from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, Field
from upkeeper.client import DependencyFailed
from upkeeper.database import DatabaseUnavailable
from upkeeper.deadline import DeadlineExceeded
from upkeeper.errors import Refusal
from upkeeper.idempotency import HEADER, REPLAYED, IdempotencyMismatch

from shop.dependencies import AllOrders, Caller, Keys, Payments, checkout_limit
from shop.errors import LIMITED, answers, header
from shop.orders import Order, Receipt
from shop.upstream import understood

# Seconds to come back after, when nobody knows better.
COME_BACK = 5.0
# And when only a person can change it.
NOT_SOON = 600.0

NOT_WRITTEN = "The receipt could not be written; ask again with the same Idempotency-Key, which never pays twice."

router = APIRouter(tags=["shop"])


class Checkout(BaseModel):
    """What is to be paid."""

    order: int = Field(ge=1, le=2**63 - 1)


class Charge(BaseModel):
    """What payments answer."""

    id: str
    amount: int


class NotPaid(Refusal):
    """503: payments or the database are out of order, and this is what there is instead of a receipt."""


_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": True,
    "description": "A new random value for each check-out, and the same one when it is sent again.",
    "schema": {"type": "string", "pattern": "^[!#-~][!-~]{0,254}$", "example": "check-out-1"},
}
_REPLAYED = {REPLAYED: header("`true` when this is the answer of the first request with this key.")}


@router.post(
    "/api/checkout",
    response_model=Receipt,
    responses=answers(400, 404, 409, 422, *LIMITED, success=_REPLAYED),
    openapi_extra={"parameters": [_KEY]},
    dependencies=[Depends(checkout_limit)],
)
async def checkout(
    request: Request, wanted: Checkout, *, orders: AllOrders, payments: Payments, keys: Keys, caller: Caller
) -> Response:
    """Pay for an order. The same Idempotency-Key never pays twice: it gets the answer that it got before.

    When payments cannot be reached, or not in time, the answer is 503 with `Retry-After`: ask again with the same
    key. While their breaker is open it comes at once.
    """
    order = await orders.find(wanted.order)
    if order is None:
        raise HTTPException(404, f"There is no order {wanted.order}.")

    async def pay(key: str) -> Response:
        kept = await orders.receipt(key)  # it outlives what Redis knows of the key
        if kept is not None:
            return _answer(kept, order, {REPLAYED: "true"})
        if payments is None:
            raise NotPaid("Nothing can be paid here: set APP_DEPENDENCIES_URL.", retry_after=NOT_SOON)
        try:
            charged = await payments.request(
                "POST", "/charges", json={"amount": order.amount, "order": order.id}, idempotency_key=key
            )
            charge = understood(Charge, charged)
        except Refusal as refusal:
            raise _fallback(refusal) from refusal
        try:
            receipt = await orders.keep(key, Receipt(order=order.id, amount=charge.amount, charge=charge.id))
        except (DatabaseUnavailable, DeadlineExceeded) as refusal:
            raise NotPaid(NOT_WRITTEN, retry_after=COME_BACK) from refusal
        return _answer(receipt, order)

    return await keys.respond(request, pay, caller=caller)


def _answer(receipt: Receipt, order: Order, headers: dict[str, str] | None = None) -> Response:
    if receipt.order != order.id:
        raise IdempotencyMismatch(f"This {HEADER} was used for another request.")
    return Response(receipt.model_dump_json(), headers=headers, media_type="application/json")


def _fallback(refusal: Refusal) -> NotPaid:
    wait = COME_BACK if refusal.retry_after is None else refusal.retry_after
    if isinstance(refusal, DependencyFailed) and not refusal.may_have_arrived:
        sentence = (
            "Payments take no calls at the moment. This request charged nothing; "
            "ask again with the same Idempotency-Key."
        )
    else:
        sentence = "Payments did not confirm; ask again with the same Idempotency-Key, which never pays twice."
    return NotPaid(sentence, retry_after=wait)
