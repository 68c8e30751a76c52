"""hrd beside a reference device: clocks aligned, errors, and whether the confidence is right."""
