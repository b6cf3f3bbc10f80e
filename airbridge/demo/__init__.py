"""`airbridge demo`: runs the whole chain as real processes and shows it in the terminal."""
