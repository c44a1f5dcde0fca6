"""Which build this is; benchmarks/release/run writes it anew for each deploy."""

BUILD = 0
