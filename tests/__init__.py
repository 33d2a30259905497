"""The tests; they mirror pamps/."""
