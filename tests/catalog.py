"""What a schema consists of, as PostgreSQL's catalog tells it."""

from sqlalchemy import Engine, text

# Each gives names and definitions.
COLUMNS = """
    SELECT table_name || '.' || column_name, concat_ws(' ', data_type, collation_name, is_nullable, column_default,
        identity_generation) FROM information_schema.columns WHERE table_schema = 'public'
"""
CONSTRAINTS = """
    SELECT conname, conrelid::regclass || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
"""
INDEXES = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
TRIGGERS = "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
FUNCTIONS = "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"


def parts(engine: Engine, *queries: str) -> dict[str, str]:
    """These parts of a schema; Alembic's own table is not ours."""
    with engine.connect() as connection:
        rows = [row for query in queries for row in connection.execute(text(query))]
    return {name: definition for name, definition in rows if not name.startswith("alembic_version")}


def whole(engine: Engine) -> dict[str, str]:
    return parts(engine, COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS, FUNCTIONS)
