"""Orders: of the warehouse when there is one, else of the shop."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Response

from shop.dependencies import AllOrders, Warehouse
from shop.errors import LIMITED, answers, header
from shop.orders import Order
from shop.upstream import understood

# What a database takes as a number of eight bytes.
LARGEST = 2**63 - 1

# How often the warehouse was asked for this one answer.
ATTEMPTS = "X-Attempts"

router = APIRouter(tags=["shop"])


@router.get(
    "/api/orders/{order_id}",
    responses=answers(
        404, 422, 502, *LIMITED, success={ATTEMPTS: header("How often the warehouse was asked.", kind="integer")}
    ),
)
async def order(
    order_id: Annotated[int, Path(ge=1, le=LARGEST)], response: Response, warehouse: Warehouse, orders: AllOrders
) -> Order:
    """Return one order, or 404. A warehouse that fails is asked again, as long as there is time and budget."""
    if warehouse is None:
        found = await orders.find(order_id)
        if found is None:
            raise HTTPException(404, f"There is no order {order_id}.")
        return found
    answer = await warehouse.request("GET", f"/orders/{order_id}")
    response.headers[ATTEMPTS] = str(answer.extensions["attempts"])
    if answer.status_code == 404:
        raise HTTPException(404, f"There is no order {order_id}.")
    return understood(Order, answer)
