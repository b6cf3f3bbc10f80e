"""The whole chain in virtual time: real cores in a simulated world, judged by an oracle that knows the truth."""
