"""A KSEM, a Plenticore and an RS485 line at true speed, each a process of its own: for demo, tests and benchmarks."""
