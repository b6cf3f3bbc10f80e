"""`airbridge snippets`: makes ready settings for other programs that read the meter's values."""
