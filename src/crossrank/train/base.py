"""Where weights to start from, or to learn from, are: a folder, the hub, or inside an installed package.

It knows names and folders; not what is in the files.
"""

from importlib.util import find_spec
from pathlib import Path

from crossrank.checkpoint.source import locate
from crossrank.engine.fingerprint import file_digest
from crossrank.errors import MissingExtra, ModelNotFoundError

PACKAGE = "package:"


def model_folder(spec: str) -> Path:
    """The folder that a name stands for; `package:NAME` is the one folder with weights in an installed package.

    Raises:
        MissingExtra: the package is not installed.
        ModelNotFoundError: no such folder or name, or the package holds no weights.
    """
    if not spec.startswith(PACKAGE):
        return locate(spec).folder
    name = spec.removeprefix(PACKAGE)
    found = find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise MissingExtra(f"The package {name!r} is not installed. Run: pip install {name.replace('_', '-')}")
    folders = [
        file.parent
        for place in found.submodule_search_locations
        for file in sorted(Path(place).rglob("config.json"))
        if (file.parent / "model.safetensors").is_file()
    ]
    if not folders:
        raise ModelNotFoundError(f"The package {name!r} has no folder with config.json and model.safetensors.")
    return folders[0]


def model_fingerprint(folder: Path) -> str:
    """Hexadecimal digits of the weights in a folder, 16 a file."""
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise ModelNotFoundError(f"{folder} has no model.safetensors.")
    return "-".join(file_digest(file).hex()[:16] for file in weights)
