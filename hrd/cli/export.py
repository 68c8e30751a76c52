"""``hrd export``: a trained network as an ONNX model that every engine reads."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        "export",
        help="make an ONNX model of a training run (needs the extra hrd[train])",
        description=(
            "Writes the averaged network of a checkpoint as ONNX (opset 11, which TensorRT 8.2 "
            "reads), with its state as inputs and outputs so that it streams, and a JSON card "
            "beside it; a file that is already there is kept unless --force is given. The file is "
            "run in ONNX Runtime and compared with PyTorch first; nothing is written if they "
            "differ. Use it with --model FILE wherever frames are read."
        ),
        epilog="example: hrd export runs/student/last.pt --out student.onnx",
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="last.pt of an hrd train run")
    parser.add_argument(
        "--out", metavar="FILE", help="where to write (default: NETWORK.onnx in this folder)"
    )
    parser.add_argument(
        "--force", action="store_true", help="write over a model or card that is already there"
    )
    parser.add_argument(
        "--trained-with",
        metavar="COMMAND",
        help="the training command, for the card (default: made up from the run's config)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Load, compare, write, say what was written."""
    from hrd.errors import HrdError, UsageError

    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        from hrd.missing import pip_install

        raise HrdError(
            f"exporting needs PyTorch and onnx ({error}); install them with: "
            f"{pip_install('hrd[train]')}"
        ) from error

    from hrd.train.checkpoint import load_network
    from hrd.train.export import describe_training, export

    if args.out and Path(args.out).suffix != ".onnx":
        raise UsageError(f"--out must end in .onnx, not {Path(args.out).name}")
    net, content = load_network(Path(args.checkpoint))
    path = Path(args.out or f"{net.spec.name}.onnx")
    for there in (path, path.with_suffix(".json")):
        if there.exists() and not args.force:
            raise UsageError(
                f"{there} is already there; choose another name with --out, or add --force to "
                "write over it"
            )
    training = describe_training(content, args.trained_with)
    done = export(net, path, training, content.get("scores"))
    size_kb = done.onnx_path.stat().st_size / 1000.0
    print(
        f"{done.onnx_path} ({size_kb:.0f} kB) and {done.card_path}: equal to PyTorch within "
        f"{done.parity:.1e} of the signal's size"
    )
    return 0
