"""`airbridge setup`: puts questions, tests each answer before the next one, and writes all settings at once."""
