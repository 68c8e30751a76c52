"""Everything of TensorRT that the worker uses, held against a real ``tensorrt`` module.

``make check-tensorrt`` runs this under interpreters with real wheels (3.6 among them, so it must
run there): ``python tensorrt_surface.py WORKER_FOLDER`` imports ``tensorrt`` and prints a line per
thing that is missing or takes other arguments. tests/test_tensorrt_surface.py proves that the
table leaves out nothing.
"""

# ruff: noqa: UP031
import ast
import glob
import json
import os
import re
import sys

ALWAYS = (0,)
NEVER = (999,)

# What the worker asks of tensorrt: name, owner, kind, first version, first version without it.
# "8.2" is the oldest that is served, so what is there in 8.2 has ALWAYS been there.
# Where code asks with hasattr or getattr, the version range says where it is expected.
SURFACE = [
    ("Builder", "", "class", ALWAYS, NEVER),
    ("OnnxParser", "", "class", ALWAYS, NEVER),
    ("Runtime", "", "class", ALWAYS, NEVER),
    ("ILogger", "", "base", ALWAYS, NEVER),
    ("IProgressMonitor", "", "base", (10,), NEVER),
    ("Severity", "ILogger", "enum", ALWAYS, NEVER),
    ("INTERNAL_ERROR", "ILogger.Severity", "member", ALWAYS, NEVER),
    ("ERROR", "ILogger.Severity", "member", ALWAYS, NEVER),
    ("WARNING", "ILogger.Severity", "member", ALWAYS, NEVER),
    ("VERBOSE", "ILogger.Severity", "member", ALWAYS, NEVER),
    ("NetworkDefinitionCreationFlag", "", "enum", ALWAYS, NEVER),
    ("EXPLICIT_BATCH", "NetworkDefinitionCreationFlag", "member", ALWAYS, (11,)),
    ("BuilderFlag", "", "enum", ALWAYS, NEVER),
    ("FP16", "BuilderFlag", "member", ALWAYS, (11,)),
    ("TF32", "BuilderFlag", "member", ALWAYS, NEVER),
    ("MemoryPoolType", "", "enum", (8, 4), NEVER),
    ("WORKSPACE", "MemoryPoolType", "member", (8, 4), NEVER),
    ("DataType", "", "enum", ALWAYS, NEVER),
    ("FLOAT", "DataType", "member", ALWAYS, NEVER),
    ("TensorIOMode", "", "enum", (8, 5), NEVER),
    ("INPUT", "TensorIOMode", "member", (8, 5), NEVER),
    ("log", "ILogger", "override", ALWAYS, NEVER),
    ("phase_start", "IProgressMonitor", "override", (10,), NEVER),
    ("step_complete", "IProgressMonitor", "override", (10,), NEVER),
    ("phase_finish", "IProgressMonitor", "override", (10,), NEVER),
    ("platform_has_fast_fp16", "Builder", "property", ALWAYS, (11,)),
    ("create_network", "Builder", "method", ALWAYS, NEVER),
    ("create_builder_config", "Builder", "method", ALWAYS, NEVER),
    ("create_optimization_profile", "Builder", "method", ALWAYS, NEVER),
    ("build_serialized_network", "Builder", "method", ALWAYS, NEVER),
    ("parse", "OnnxParser", "method", ALWAYS, NEVER),
    ("num_errors", "OnnxParser", "property", ALWAYS, NEVER),
    ("get_error", "OnnxParser", "method", ALWAYS, NEVER),
    ("desc", "ParserError", "method", ALWAYS, NEVER),
    ("set_memory_pool_limit", "IBuilderConfig", "method", (8, 4), NEVER),
    ("max_workspace_size", "IBuilderConfig", "property", ALWAYS, (10,)),
    ("set_flag", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("clear_flag", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("add_optimization_profile", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("create_timing_cache", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("set_timing_cache", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("get_timing_cache", "IBuilderConfig", "method", ALWAYS, NEVER),
    ("progress_monitor", "IBuilderConfig", "property", (10,), NEVER),
    ("serialize", "ITimingCache", "method", ALWAYS, NEVER),
    ("set_shape", "IOptimizationProfile", "method", ALWAYS, NEVER),
    ("deserialize_cuda_engine", "Runtime", "method", ALWAYS, NEVER),
    ("create_execution_context", "ICudaEngine", "method", ALWAYS, NEVER),
    ("num_io_tensors", "ICudaEngine", "property", (8, 5), NEVER),
    ("get_tensor_name", "ICudaEngine", "method", (8, 5), NEVER),
    ("get_tensor_mode", "ICudaEngine", "method", (8, 5), NEVER),
    ("get_tensor_dtype", "ICudaEngine", "method", (8, 5), NEVER),
    ("get_tensor_shape", "IExecutionContext", "method", (8, 5), NEVER),
    ("set_input_shape", "IExecutionContext", "method", (8, 5), NEVER),
    ("set_tensor_address", "IExecutionContext", "method", (8, 5), NEVER),
    ("execute_async_v3", "IExecutionContext", "method", (8, 5), NEVER),
    ("num_bindings", "ICudaEngine", "property", ALWAYS, (10,)),
    ("get_binding_name", "ICudaEngine", "method", ALWAYS, (10,)),
    ("binding_is_input", "ICudaEngine", "method", ALWAYS, (10,)),
    ("get_binding_dtype", "ICudaEngine", "method", ALWAYS, (10,)),
    ("get_binding_shape", "IExecutionContext", "method", ALWAYS, (10,)),
    ("set_binding_shape", "IExecutionContext", "method", ALWAYS, (10,)),
    ("execute_async_v2", "IExecutionContext", "method", ALWAYS, (10,)),
]

# What it asks of pycuda.driver.
PYCUDA = [
    "init",
    "Error",
    "Device",
    "count",
    "make_context",
    "name",
    "compute_capability",
    "total_memory",
    "Stream",
    "handle",
    "synchronize",
    "mem_get_info",
    "mem_alloc",
    "pagelocked_empty",
    "memcpy_htod_async",
    "memcpy_dtoh_async",
]


def worker_calls(folder):
    """Calls in the worker's source: name -> list of (positional arguments, keywords)."""
    calls = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.py"))):
        with open(path) as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # our own method of the same name: self._tensors.set_shape
                if _owner(node.func) in ("self._tensors", "progress", "self._progress"):
                    continue
                keywords = [keyword.arg for keyword in node.keywords]
                calls.setdefault(node.func.attr, []).append((len(node.args), keywords))
    return calls


def worker_overrides(folder):
    """Methods of classes derived from tensorrt's: name -> names of the arguments after self."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.py"))):
        with open(path) as file:
            tree = ast.parse(file.read())
        for node in ast.walk(tree):
            derived = isinstance(node, ast.ClassDef) and any(
                isinstance(base, ast.Attribute) and _owner(base) == "trt" for base in node.bases
            )
            for item in node.body if derived else []:
                if isinstance(item, ast.FunctionDef) and item.name != "__init__":
                    found[item.name] = [argument.arg for argument in item.args.args[1:]]
    return found


def _owner(attribute):
    parts = []
    node = attribute.value
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    parts.append(node.id if isinstance(node, ast.Name) else "?")
    return ".".join(reversed(parts))


def signatures(text, name):
    """The signatures in a pybind11 docstring, each a list of (argument, has a default)."""
    found = []
    for match in re.finditer(r"^(?:\d+\. )?%s\((.*)\) -> " % re.escape(name), text or "", re.M):
        arguments = []
        depth, piece = 0, ""
        for letter in match.group(1) + ",":
            depth += {"[": 1, "(": 1, "<": 1, "]": -1, ")": -1, ">": -1}.get(letter, 0)
            if letter == "," and depth == 0:
                if piece.strip() and not piece.strip().startswith("*"):
                    arguments.append((piece.split(":")[0].strip(), "=" in piece))
                piece = ""
            else:
                piece += letter
        if arguments:
            found.append(arguments)
    return found


def takes(arguments, positional, keywords):
    """Whether a call fits a signature (without its self)."""
    names = [name for name, _ in arguments]
    given = set(names[:positional]) | set(keywords)
    return (
        positional <= len(names)
        and set(keywords) <= set(names[positional:])
        and all(name in given or has_default for name, has_default in arguments)
    )


def check(trt, version, folder):
    """Sentences about what does not fit; and how many things were looked at."""
    complaints, looked_at = [], 0
    calls, overrides = worker_calls(folder), worker_overrides(folder)
    for name, owner, kind, since, until in SURFACE:
        holder = trt
        for part in owner.split(".") if owner else []:
            holder = getattr(holder, part, None)
        expected = since <= version < until
        where = "%s.%s" % (owner, name) if owner else name
        if not expected:
            if holder is not None and hasattr(holder, name):
                complaints.append("%s is there, but is not expected" % where)
            continue
        looked_at += 1
        if holder is None or not hasattr(holder, name):
            complaints.append("%s is missing" % where)
            continue
        thing = getattr(holder, name)
        if kind == "property" and not isinstance(thing, property):
            complaints.append("%s is no property" % where)
        elif kind == "override":
            known = [[n for n, _ in s[1:]] for s in signatures(thing.__doc__, name)]
            if overrides.get(name) not in known:
                complaints.append(
                    "%s takes %s, ours takes %s" % (where, known, overrides.get(name))
                )
        elif kind in ("method", "class"):
            method = thing.__init__ if kind == "class" else thing
            title = "__init__" if kind == "class" else name
            known = [s[1:] for s in signatures(method.__doc__, title)]
            if not calls.get(name):
                complaints.append("%s is never called: is the table right?" % where)
            for positional, keywords in calls.get(name, []):
                looked_at += 1
                if not any(takes(s, positional, keywords) for s in known):
                    complaints.append(
                        "%s is called with %d arguments and %s, but takes %s"
                        % (where, positional, keywords, known)
                    )
    return complaints, looked_at


def main():
    module = __import__(sys.argv[2] if len(sys.argv) > 2 else "tensorrt")
    version = tuple(int(part) for part in re.findall(r"\d+", module.__version__)[:3])
    complaints, looked_at = check(module, version, sys.argv[1])
    print(
        json.dumps(
            {
                "tensorrt": module.__version__,
                "python": "%d.%d.%d" % sys.version_info[:3],
                "looked_at": looked_at,
                "complaints": complaints,
            }
        )
    )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
