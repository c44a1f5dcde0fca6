"""The routes by subject. Each module has a `router`; what its routes need they get from `shop.dependencies`."""
