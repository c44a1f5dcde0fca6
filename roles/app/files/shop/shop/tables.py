"""The tables of the database; `migrations` brings them there."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, String, Text, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""


class OrderRow(Base):
    """One line of an order; `price` is in cents for one of it."""

    __tablename__ = "orders"
    __table_args__ = (CheckConstraint("quantity > 0 AND price > 0", name="orders_cost_something"),)

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    item: Mapped[str] = mapped_column(Text)
    quantity: Mapped[int]
    price: Mapped[int]


class ReceiptRow(Base):
    """What was paid, under the idempotency key of its check-out, and the answer that the client got for it."""

    __tablename__ = "receipts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id"), index=True)
    amount: Mapped[int]
    charge: Mapped[str] = mapped_column(Text, unique=True)
    answer: Mapped[str] = mapped_column(Text)
    paid_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
