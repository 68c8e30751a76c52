"""Reference devices: what a heart really does, from a strap, an oximeter or a file."""
