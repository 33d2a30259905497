"""The database: connections to it, statements to run on them, and what its errors mean."""
