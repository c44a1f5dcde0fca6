"""Orders and receipts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables, and the orders that there are."""
    orders = op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("price", sa.Integer, nullable=False),
        sa.CheckConstraint("quantity > 0 AND price > 0", name="orders_cost_something"),
    )
    op.create_table(
        "receipts",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("order_id", sa.BigInteger, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("amount", sa.Integer, nullable=False),
        sa.Column("charge", sa.Text, nullable=False, unique=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.bulk_insert(
        orders,
        [
            {"id": 1, "item": "Espresso cup", "quantity": 2, "price": 900},
            {"id": 2, "item": "Pour-over kettle", "quantity": 1, "price": 7900},
            {"id": 3, "item": "Paper filters", "quantity": 100, "price": 5},
        ],
    )


def downgrade() -> None:
    """Remove them with all that is in them."""
    op.drop_table("receipts")
    op.drop_table("orders")
