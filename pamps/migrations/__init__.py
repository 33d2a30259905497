"""The schema's history, run by Alembic: each file in versions/ is one step, up and down."""
