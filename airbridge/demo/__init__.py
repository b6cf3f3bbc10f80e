"""`airbridge demo`: the whole chain as real processes, live in the terminal."""
