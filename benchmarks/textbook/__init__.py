"""A microblog over Pamps' tables as the tutorials of FastAPI and SQLModel write one: what Pamps is compared with.

Sync routes, a session from a dependency with yield, entities with relationships, response models, a signed-in user whom
a dependency loads. It is meant well: its lists take one more query for all their authors (selectin), never one each;
its counters are the columns that the triggers keep, so it counts nothing; it reads the first page of replies, not all
of them; and who asks is not looked up where the answer does not depend on it. It leaves out what tutorials leave out:
sessions that can be ended, ETags, errors by constraint.
"""
