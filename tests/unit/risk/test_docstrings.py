"""What every public function of `risk` must say: units, shape, what an unknown does, and where it is from."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "stopline" / "risk"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
UNITS = r"money|\bunit|per (day|period|session|1 %)|a year|years|[Pp]arts? of|fraction|percent|seconds|relative|\bcount"
POLICY = r"NaN|None|UNKNOWN|InsufficientData"
ARRAYS = r"FloatArray|ArrayLike|IntArray|BoolArray"


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the public functions of a module and the public methods of its public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from (
                part
                for part in node.body
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_")
            )


@pytest.mark.parametrize("module", MODULES)
def test_a_public_function_says_units_shape_policy_and_source(module: str) -> None:
    """R2.7: a function's docstring and its module's together; the function's own is never missing."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text("utf-8"))
    about = ast.get_docstring(tree) or ""
    lacking = []
    for function in functions(tree):
        own = ast.get_docstring(function) or ""
        text = f"{about} {own}"
        takes = ast.unparse(function.args) + ast.unparse(function.returns or ast.Constant(""))
        wanted = {
            "a docstring": own,
            "units": re.search(UNITS, text),
            "a policy for NaN or None": re.search(POLICY, text),
            "a source": re.search(r"Sources?:", text),
            "a shape": not re.search(ARRAYS, takes) or re.search(r"[Ss]hapes?\b", text),
        }
        lacking += [f"{module}.{function.name}: {what}" for what, there in wanted.items() if not there]
    assert lacking == []
