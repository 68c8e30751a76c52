"""How well hrd reads heart rates: data sets, methods side by side, metrics and reports."""
