"""A small shop: the sample service that production.fastapi installs when no other source is named."""
