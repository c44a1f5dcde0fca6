"""Which build this is; benchmarks/release/run writes it again for each deploy."""

BUILD = 0
