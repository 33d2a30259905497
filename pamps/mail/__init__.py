"""Mail: what it says, in whose language, and how it gets from the queue in PostgreSQL to a mail server."""
