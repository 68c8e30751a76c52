"""The ``hrd`` command."""
