"""The simulated services: a warehouse that knows orders, and payments that charges for them.

All state is in memory, so it runs as one process with one worker. It is for tests and demonstrations: whoever reaches
it can make it fail.
"""

import uuid
from collections import OrderedDict
from typing import Annotated, Literal

from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from payments.behaviour import Behaviour, BehaviourMiddleware, Service

ORDERS = {
    1: ("Espresso cup", 2),
    2: ("Pour-over kettle", 1),
    3: ("Paper filters", 100),
}

# Charges that are remembered; older ones are forgotten, and their idempotency keys with them.
REMEMBERED = 10_000


class Order(BaseModel):
    """One line of an order."""

    id: int
    item: str
    quantity: int


class ChargeRequest(BaseModel):
    """What is to be charged; further fields are taken and not looked at."""

    model_config = ConfigDict(extra="allow")

    amount: int = Field(gt=0, description="Cents.")
    order: int = Field(gt=0, description="The order that is paid.")


class Charge(BaseModel):
    """Money that was taken."""

    id: str
    amount: int
    order: int
    status: Literal["charged"] = "charged"


api = FastAPI(title="Payments simulator", summary="Services that fail, stall, drop connections or are busy on demand.")
services = {"warehouse": Service(), "payments": Service()}
charges: OrderedDict[str, tuple[ChargeRequest, Charge]] = OrderedDict()  # by idempotency key

app = BehaviourMiddleware(
    api,
    services={
        ("GET", "/warehouse/orders/"): services["warehouse"],
        ("POST", "/payments/charges"): services["payments"],
    },
)


@api.get("/healthz", tags=["health"])
async def live() -> dict[str, str]:
    """Say that the process answers, however its services behave."""
    return {"status": "alive"}


@api.get("/warehouse/orders/{order_id}", tags=["warehouse"])
async def order(order_id: int) -> Order:
    """Return one order, or 404."""
    if order_id not in ORDERS:
        raise HTTPException(404, f"There is no order {order_id}.")
    item, quantity = ORDERS[order_id]
    return Order(id=order_id, item=item, quantity=quantity)


@api.post("/payments/charges", tags=["payments"])
async def charge(
    request: ChargeRequest, idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None
) -> Charge:
    """Take money, once for all requests with the same idempotency key; 422 when they do not ask for the same."""
    made = Charge(id=uuid.uuid4().hex, amount=request.amount, order=request.order)
    asked, made = charges.setdefault(idempotency_key or made.id, (request, made))
    if asked != request:
        raise HTTPException(422, "This Idempotency-Key was used for another charge.")
    if len(charges) > REMEMBERED:
        charges.popitem(last=False)
    return made


@api.get("/payments/charges", tags=["payments"])
async def list_charges() -> list[Charge]:
    """Return the charges that are remembered, the oldest first. This is not counted as a call, and never disturbed."""
    return [made for _unused, made in charges.values()]


@api.get("/behaviour", tags=["behaviour"])
async def behaviour() -> dict[str, Service]:
    """Show how each service behaves and how often it was called."""
    return services


@api.put("/behaviour/{service}", tags=["behaviour"])
async def behave(service: Literal["warehouse", "payments"], behaviour: Behaviour) -> Service:
    """Tell a service how to treat the calls that arrive from now on."""
    for name, value in behaviour:
        setattr(services[service], name, value)
    return services[service]
