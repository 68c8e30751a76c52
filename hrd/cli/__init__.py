"""The ``hrd`` command."""

import os

# OpenBLAS reads this when NumPy is loaded, which is why it stands here, before any other import.
# hrd's arrays are small: a second thread makes nothing faster, and waits for its next piece of
# work in a loop that takes a tenth of a core. $OPENBLAS_NUM_THREADS still has its say.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
