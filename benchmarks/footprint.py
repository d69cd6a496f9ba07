"""What an installation weighs: the core wheel with all it needs, in a fresh environment, without the model."""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def measure() -> list[tuple[str, str, str]]:
    """Rows of (what, size, target)."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        wheel = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(wheel, check=True)
        (built,) = Path(folder).glob("*.whl")
        site = Path(folder) / "site"
        install = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*install, "--target", str(site), str(built)], check=True)
        total = _bytes(site)
        model = _bytes(site / "crossrank" / "models")
        own = _bytes(site / "crossrank") - model
        wheel_bytes = built.stat().st_size
    return [
        ("core install without the model", f"{(total - model) / 1e6:.0f} MB", "<= 150 MB"),
        ("of it crossrank itself", f"{own / 1e6:.1f} MB", ""),
        ("the bundled model", f"{model / 1e6:.0f} MB", ""),
        ("the wheel", f"{wheel_bytes / 1e6:.0f} MB", ""),
    ]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
