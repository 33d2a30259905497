"""Connections as they are served: how requests are read, what a client may do, and how answers are written."""
