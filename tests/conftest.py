"""What all tests share."""

from hypothesis import settings

# A busy host stands still now and then: what a single example takes proves nothing.
settings.register_profile("ours", deadline=None)
settings.load_profile("ours")
