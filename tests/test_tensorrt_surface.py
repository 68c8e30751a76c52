"""What the worker needs of its interpreter and of TensorRT, as far as can be told without them."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Set

import pytest

from hrd.engine.card import NAMES, models_dir
from tests.gpu_help import FAKES, python36
from tests.needs import needs

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "hrd" / "engine" / "worker"

# Operators of TensorRT 8.2's ONNX parser: docs/operators.md of onnx/onnx-tensorrt, branch
# release/8.2-GA ("TensorRT 8.2 supports operators up to Opset 13"). The table here is the 8.4
# revision's (commit 009d654) without what docs/Changelog.md says was added after 8.2 (Shrink, Xor),
# floating-point and elementwise operators only: a network needs no others.
TENSORRT_82 = frozenset(
    """
    Abs Acos Acosh Add ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Clip
    Concat Constant Conv ConvTranspose Cos Cosh CumSum DepthToSpace Div Dropout Einsum Elu Erf Exp
    Expand Flatten Floor Gather GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool GRU HardSigmoid Identity ImageScaler InstanceNormalization LeakyRelu Log
    LogSoftmax LpNormalization LpPool LRN LSTM MatMul Max MaxPool Mean Min Mul Neg Pad
    ParametricSoftplus Pow PRelu ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize RNN Round
    ScaledTanh Scatter ScatterElements ScatterND Selu Shape Sigmoid Sign Sin Sinh Size Slice
    Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu
    Tile TopK Transpose Unsqueeze Upsample Where
    """.split()  # noqa: SIM905
)


@pytest.mark.parametrize("name", NAMES)
def test_exported_models_use_only_what_tensorrt_82_reads(name: str) -> None:
    onnx = needs("onnx")
    model = onnx.load(str(models_dir() / f"{name}.onnx"))
    assert {node.op_type for node in model.graph.node} <= TENSORRT_82
    assert [opset.domain for opset in model.opset_import] == [""]
    assert model.opset_import[0].version <= 13
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:  # the table's restrictions on the operators we use
        if node.op_type == "Conv":
            assert set(node.input[1:]) <= set(constants)
            assert len(constants[node.input[1]].dims) in (4, 5)
        elif node.op_type == "Slice":
            assert set(node.input[1:]) <= set(constants)
        elif node.op_type == "Reshape":
            assert node.input[1] in constants
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert kinds <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def _surface() -> Any:
    path = ROOT / "tools" / "tensorrt_surface.py"
    spec = importlib.util.spec_from_file_location("tensorrt_surface", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Attributes in the worker's source that belong to Python's own objects and modules.
_PYTHONS = frozenset(
    """
    Struct pack unpack_from size crc32 dumps loads encode decode join append items values pop
    lower replace split strip group path abspath dirname modules get spec_from_file_location
    module_from_spec import_module loader exec_module util exit write flush stderr stdout time
    Event Thread Lock is_set wait set start daemon join python_version getpid dup dup2 open read
    _exit signal SIGINT SIG_IGN driver __init__ __name__ __version__
    """.split()  # noqa: SIM905
)


def _own_names(trees: List[ast.Module]) -> Set[str]:
    """Names that the worker itself defines: functions, classes, attributes, constants."""
    own: Set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                own.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name):
                            own.add(part.id)
                        elif isinstance(part, ast.Attribute) and _root(part) == "self":
                            own.add(part.attr)
    return own


def _root(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def test_the_table_of_make_check_tensorrt_leaves_out_nothing() -> None:
    surface = _surface()
    table = {name for name, *_ in surface.SURFACE} | set(surface.PYCUDA)
    trees = [ast.parse(path.read_text()) for path in sorted(WORKER.glob("*.py"))]
    used = {
        node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    # names asked for as text: hasattr(engine, "num_io_tensors")
    used |= {
        str(node.args[1].value)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("hasattr", "getattr")
        and isinstance(node.args[1], ast.Constant)
    }
    assert used - _own_names(trees) - _PYTHONS <= table
    assert table <= used | {"log", "phase_start", "step_complete", "phase_finish"}


def test_the_check_itself_finds_what_is_wrong() -> None:
    surface = _surface()
    text = (
        "f(*args, **kwargs)\nOverloaded function.\n\n1. f(self: A, b: List[int], c: int = 0) -> x"
    )
    (signature,) = surface.signatures(text, "f")
    assert signature == [("self", False), ("b", False), ("c", True)]
    assert surface.takes(signature[1:], 1, [])
    assert surface.takes(signature[1:], 1, ["c"])
    assert not surface.takes(signature[1:], 0, [])
    assert not surface.takes(signature[1:], 1, ["d"])
    assert not surface.takes(signature[1:], 3, [])
    complaints, _ = surface.check(object(), (8, 6, 1), str(WORKER))
    assert "Builder is missing" in complaints


@pytest.mark.parametrize("api", ["8.2", "8.6", "10"])
def test_the_stand_in_has_the_names_of_the_version_it_plays(api: str) -> None:
    surface = _surface()
    version = {"8.2": (8, 2), "8.6": (8, 6), "10": (10,)}[api]
    probe = (
        "import json, sys, tensorrt as t; print(json.dumps([eval('hasattr(%s, %r)' % (o, n)) "
        "if eval(h) else False for o, n, h in json.load(sys.stdin)]))"
    )
    import json

    asked, expected = [], []
    for name, owner, kind, since, until in surface.SURFACE:
        if kind == "property" or kind == "override":
            continue  # instance attributes in the stand-in
        holder = f"t.{owner}" if owner else "t"
        first = owner.split(".")[0]
        asked.append((holder, name, f"hasattr(t, {first!r})" if owner else "True"))
        expected.append(since <= version < until)
    done = subprocess.run(
        [sys.executable, "-c", probe],
        input=json.dumps(asked),
        env={"PYTHONPATH": str(FAKES), "FAKE_TRT": api},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    wrong = [row for row, is_there, should in zip(asked, found, expected) if is_there != should]
    assert not wrong


def test_the_worker_is_written_for_python_36() -> None:
    vermin = Path(sys.executable).with_name("vermin")
    if not vermin.exists():
        pytest.skip("vermin is not installed beside this Python")
    command = [str(vermin), "--quiet", "--target=3.6-", "--violations", "--no-tips"]
    done = subprocess.run([*command, str(WORKER)], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_the_worker_imports_nothing_of_hrd() -> None:
    for path in WORKER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("hrd", "numpy"), path


def test_python_36_reads_the_worker() -> None:
    python = python36()
    if python is None:
        pytest.skip("no Python 3.6 here (JetPack 4.6's)")
    code = "import sys; [compile(open(p).read(), p, 'exec') for p in sys.argv[1:]]"
    files = [str(path) for path in sorted(WORKER.glob("*.py"))]
    subprocess.run([python, "-c", code, *files], check=True)
