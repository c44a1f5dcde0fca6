"""The routes by subject. Each module has `router(…)`, which takes what its routes need."""
