"""Simulates a KSEM, a Plenticore and an RS485 line at true speed, each as a process: for demo, tests and benchmarks."""
