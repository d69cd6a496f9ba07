"""Fails when something has outgrown one concept (STYLE.md): a file, a function, or the files on the whole."""

import ast
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FAILURE, WARNING, MEDIAN, FUNCTION = 600, 400, 150, 60
PACKAGE = 50_000_000  # bytes of what goes into a wheel, the model among it; check_wheel.py looks at the wheel


def main() -> int:
    """Print files over the budget; 1 when there is a failure."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "native", "tests", "benchmarks"],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    sources = [Path(name) for name in tracked if name.endswith((".py", ".cpp", ".h", ".inl", ".js"))]
    lengths = {path: len(path.read_text().splitlines()) for path in sources if path.exists()}
    for path, length in sorted(lengths.items(), key=lambda item: -item[1]):
        if length > WARNING:
            sys.stdout.write(f"{'too long' if length > FAILURE else 'long'}: {path} has {length} lines\n")
    too_long = False
    for path in lengths:
        if path.suffix == ".py" and path.parts[0] == "src":
            for name, length in _functions(path):
                if length > FUNCTION:
                    too_long = True
                    sys.stdout.write(f"too long: {name} in {path} has {length} lines\n")
    median = statistics.median(lengths.values())
    package = sum(Path(name).stat().st_size for name in tracked if name.startswith("src/") and Path(name).exists())
    sys.stdout.write(f"{len(lengths)} files, median {median:.0f} lines; {package / 1e6:.1f} MB to install\n")
    return int(max(lengths.values()) > FAILURE or median > MEDIAN or package > PACKAGE or too_long)


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with the lines of its body, the docstring left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            yield node.name, (node.end_lineno or first.lineno) - first.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
