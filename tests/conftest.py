"""What every test shares: Hypothesis looks for the same examples on every run, and a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("shardwright", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("shardwright")
