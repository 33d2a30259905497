"""Demo data: people who never were, what they wrote, and what came of it; the same for the same seed."""

from pamps.demo.history import Size
from pamps.demo.load import fill

__all__ = ["Size", "fill"]
