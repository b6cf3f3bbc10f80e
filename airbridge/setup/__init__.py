"""`airbridge setup`: questions, each answer tested before the next one, settings written once."""
