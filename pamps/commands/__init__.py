"""What the commands of cli.py do: a file for each, or for those that share a noun."""
