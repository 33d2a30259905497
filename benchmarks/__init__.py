"""How fast Pamps is, in ratios: to PostgreSQL driven bare, to a constant answer, to a textbook's way of writing it.

docs/performance.md says how it measures and how to read it; `./benchmarks/run --help` how to run it.
"""
