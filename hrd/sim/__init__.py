"""Drawn faces with a pulse in their skin: one renderer for the simulated camera, the tests and
the training data. NumPy and OpenCV only."""
