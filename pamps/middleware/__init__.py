"""What is around every route, as plain ASGI: app.py says in which order."""
