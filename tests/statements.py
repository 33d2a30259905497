"""Every statement that Pamps has."""

import pkgutil
from importlib import import_module

from pamps import queries
from pamps.db.statement import Statement


def every_statement() -> dict[str, Statement]:
    found: dict[str, Statement] = {}
    for module in pkgutil.iter_modules(queries.__path__):
        for name, value in vars(import_module(f"pamps.queries.{module.name}")).items():
            if isinstance(value, Statement) and value not in found.values():
                found[f"{module.name}.{name}"] = value
                if value.versioned:
                    found[f"{module.name}.{name}.versioned"] = value.versioned
    return found


STATEMENTS = every_statement()
