"""A simulator of the services that the shop depends on, which fails, stalls, drops connections or is busy on demand."""
