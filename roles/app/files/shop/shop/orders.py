"""The orders of the shop and the receipts for them: in a database, or in a table of this module without one."""

from typing import Protocol

from pydantic import BaseModel, ConfigDict
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from upkeeper.database import Database

from shop.tables import OrderRow, ReceiptRow


class Order(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    item: str
    quantity: int


class PricedOrder(Order):
    """`price` is in cents for one of it."""

    price: int

    @property
    def amount(self) -> int:
        """What it costs, in cents."""
        return self.price * self.quantity


class Receipt(BaseModel):
    """What was paid; `amount` is in cents."""

    order: int
    amount: int
    charge: str


class Orders(Protocol):
    """Where orders and receipts are. A receipt is kept under the idempotency key of its check-out."""

    async def find(self, number: int) -> PricedOrder | None:
        """Return an order, if there is one."""

    async def receipt(self, key: str) -> Receipt | None:
        """Return the receipt that was kept with this key, if there is one."""

    async def keep(self, key: str, receipt: Receipt) -> Receipt:
        """Keep a receipt in one transaction; return it, or the one that was kept with this key before."""


class OrdersInMemory:
    """What the shop has without a database: it knows these orders and keeps no receipts."""

    TABLE = (
        PricedOrder(id=1, item="Espresso cup", quantity=2, price=900),
        PricedOrder(id=2, item="Pour-over kettle", quantity=1, price=7900),
        PricedOrder(id=3, item="Paper filters", quantity=100, price=5),
    )

    async def find(self, number: int) -> PricedOrder | None:
        """As `Orders`."""
        return next((order for order in self.TABLE if order.id == number), None)

    async def receipt(self, _key: str) -> Receipt | None:
        """As `Orders`: there is none."""
        return None

    async def keep(self, _key: str, receipt: Receipt) -> Receipt:
        """As `Orders`, but nothing is kept."""
        return receipt


class OrdersInDatabase:
    """The tables `orders` and `receipts`. Each method is a transaction, and none holds a connection after it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, number: int) -> PricedOrder | None:
        """As `Orders`."""
        async with self._database.session() as session:
            row = await session.get(OrderRow, number)
            return None if row is None else PricedOrder.model_validate(row)

    async def receipt(self, key: str) -> Receipt | None:
        """As `Orders`."""
        async with self._database.session() as session:
            row = await session.get(ReceiptRow, key)
            return None if row is None else Receipt.model_validate_json(row.answer)

    async def keep(self, key: str, receipt: Receipt) -> Receipt:
        """As `Orders`. When two workers come with the same key, both return the receipt of the first."""
        row = {"key": key, "order_id": receipt.order, "amount": receipt.amount, "charge": receipt.charge}
        async with self._database.session() as session:
            await session.execute(
                insert(ReceiptRow)
                .values(**row, answer=receipt.model_dump_json())
                .on_conflict_do_nothing(index_elements=[ReceiptRow.key])
            )
            kept = (await session.scalars(select(ReceiptRow.answer).where(ReceiptRow.key == key))).one()
        return Receipt.model_validate_json(kept)
