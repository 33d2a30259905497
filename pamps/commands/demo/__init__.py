"""Demo data: people who never were, what they wrote, and what came of it; the same for the same seed."""

from pamps.commands.demo.history import Size
from pamps.commands.demo.load import fill

__all__ = ["Size", "fill"]
