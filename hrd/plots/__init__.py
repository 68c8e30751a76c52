"""Pictures for reports: ``hrd measure --plot`` and ``hrd bench --plot``."""
