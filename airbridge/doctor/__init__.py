"""`airbridge doctor`: gathers facts (shells: `gather_*`), judges them (cores: `check_*`), reports what to do."""
