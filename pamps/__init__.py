"""Pamps: a microblog backend on FastAPI and PostgreSQL."""

__version__ = "0.1.0"
