"""`airbridge doctor`: gathers facts (shells: `gather_*`), judges them (cores: `check_*`), tells what to do."""
