"""``python3 /path/to/hrd/engine/worker``: run the worker without importing hrd."""

import importlib.util
import os
import sys


def _main() -> int:
    here = os.path.dirname(os.path.abspath(__file__))
    # as a package of another name: `hrd` itself can't be imported by Python 3.6
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != here]
    spec = importlib.util.spec_from_file_location(
        "hrd_worker", os.path.join(here, "__init__.py"), submodule_search_locations=[here]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["hrd_worker"] = package
    spec.loader.exec_module(package)
    return int(importlib.import_module("hrd_worker.serve").main())


if __name__ == "__main__":
    sys.exit(_main())
