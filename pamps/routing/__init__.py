"""What our routes have in common: which is asked for, with what, how often, and what its answer carries."""
