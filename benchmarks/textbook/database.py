"""The engine, and a session for each request."""

import os
from collections.abc import Iterator
from functools import cache
from typing import Annotated

from fastapi import Depends
from sqlalchemy import Engine
from sqlmodel import Session, create_engine


@cache
def get_engine() -> Engine:
    """The engine of this process; TEXTBOOK_DATABASE_URL is like postgresql+psycopg2://...

    As many connections as Pamps has. Of 4, 8 and 16, with and without more for a rush, none was clearly quicker.
    """
    return create_engine(os.environ["TEXTBOOK_DATABASE_URL"], pool_size=8, max_overflow=0)


def get_session() -> Iterator[Session]:
    with Session(get_engine()) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
