"""Checks that a wheel holds what it should and no more, and is no larger than it may be; needs Python alone.

`check_wheel.py WHEEL ...` opens wheels; `check_wheel.py --installed` looks at the package beside this interpreter.
"""

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MB = 1_000_000
WHEEL_MAX, ENGINE_MAX, CODE_MAX = (
    46 * MB,
    3 * MB,
    3 * MB,
)  # bytes: the file; the compiled module; all but it and the model
ENGINE = re.compile(r"crossrank/_native\.[^/]*(so|pyd)")
BESIDE = re.compile(r"crossrank-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/.+|sboms/.+)")
MODEL = "crossrank/models/"
MAKERS = re.compile(rb"/(?:root|home|Users|builds?|work|tmp)/[\w./-]{4,}")  # folders of whoever built it


def main(arguments: list[str]) -> int:
    """Print what is wrong; 1 if anything is."""
    if arguments == ["--installed"]:
        problems = list(_installed())
    else:
        expected = _expected()
        problems = [f"{wheel}: {problem}" for wheel in arguments for problem in _problems(Path(wheel), expected)]
    for problem in problems:
        sys.stdout.write(problem + "\n")
    if not problems:
        sys.stdout.write(f"{', '.join(Path(one).name for one in arguments)}: sound\n")
    return int(bool(problems) or not arguments)


def _expected() -> set[str]:
    """What of the sources belongs into a wheel: every file that git knows."""
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    return {name.removeprefix("src/") for name in listed.stdout.split()}


def _problems(wheel: Path, expected: set[str]) -> Iterator[str]:
    with zipfile.ZipFile(wheel) as content:
        sizes = {item.filename: item.file_size for item in content.infolist() if not item.is_dir()}
        engines = [name for name in sizes if ENGINE.fullmatch(name)]
        extra = {name for name in sizes if name not in expected and not BESIDE.fullmatch(name)} - set(engines)
        yield from (f"{name} is missing" for name in sorted(expected - set(sizes)))
        yield from (f"{name} does not belong there" for name in sorted(extra))
        if len(engines) != 1:
            yield f"there are {len(engines)} compiled engines, not 1"
        for name in engines:
            if sizes[name] > ENGINE_MAX:
                yield f"{name} has {sizes[name]:,} bytes; {ENGINE_MAX:,} are the budget"
            if found := MAKERS.search(content.read(name)):
                yield f"{name} names a folder of the machine that built it: {found[0].decode()}"
        if not any(name.endswith("/LICENSE") for name in sizes) or not any("THIRD-PARTY" in name for name in sizes):
            yield "the licences are missing"
    code = sum(size for name, size in sizes.items() if name not in engines and not name.startswith(MODEL))
    if code > CODE_MAX:
        yield f"all but the engine and the model has {code:,} bytes; {CODE_MAX:,} are the budget"
    if (size := wheel.stat().st_size) > WHEEL_MAX:
        yield f"the wheel has {size:,} bytes; {WHEEL_MAX:,} are the budget"


def _installed() -> Iterator[str]:
    """The package beside this interpreter is whole, and not this folder's."""
    import crossrank
    from crossrank import _native

    home = Path(crossrank.__file__).parent
    if home.is_relative_to(ROOT):
        yield f"{home} is the source, not what was installed"
    if "fp32" not in _native.precisions():
        yield "the engine has no kernels"
    if not (home / "models" / "crossrank-mini" / "model.safetensors").is_file():
        yield "the bundled model is missing"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
