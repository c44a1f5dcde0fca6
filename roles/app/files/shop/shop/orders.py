"""The orders of the shop, which answers from this table when it has no warehouse."""

from pydantic import BaseModel


class Order(BaseModel):
    """One line of an order."""

    id: int
    item: str
    quantity: int


TABLE = {
    order.id: order
    for order in (
        Order(id=1, item="Espresso cup", quantity=2),
        Order(id=2, item="Pour-over kettle", quantity=1),
        Order(id=3, item="Paper filters", quantity=100),
    )
}

# Cents for one of each.
PRICES = {1: 900, 2: 7900, 3: 5}


def amount(order: Order) -> int:
    """What an order costs, in cents."""
    return PRICES[order.id] * order.quantity
