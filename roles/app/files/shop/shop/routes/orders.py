"""Orders: of the warehouse when there is one, else of the shop."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path

from shop.errors import LIMITED, answers
from shop.orders import Order, Orders
from shop.upstream import Upstream, understood

# What a database takes as a number of eight bytes.
LARGEST = 2**63 - 1


def router(warehouse: Upstream | None, orders: Orders) -> APIRouter:
    """The routes of this subject."""
    routes = APIRouter(tags=["shop"])

    @routes.get("/api/orders/{order_id}", responses=answers(404, 422, 502, *LIMITED))
    async def order(order_id: Annotated[int, Path(ge=1, le=LARGEST)]) -> Order:
        """Return one order, or 404. A warehouse that fails is asked again, as long as there is time and budget."""
        if warehouse is None:
            found = await orders.find(order_id)
            if found is None:
                raise HTTPException(404, f"There is no order {order_id}.")
            return found
        answer = await warehouse.request("GET", f"/orders/{order_id}")
        if answer.status_code == 404:
            raise HTTPException(404, f"There is no order {order_id}.")
        return understood(Order, answer)

    return routes
