"""Stand-in for PyCUDA: see ``tests/fake_gpu``."""
