"""Virtual environments of pinned packages, made once in a cache folder, and the model files exported in them.

It knows pip and folders; not peers' code or timings.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from peers.catalog import ENVIRONMENTS, EXPORTS, TORCH, UNWANTED

INSTALL_S_MAX = 1800.0
EXPORT_S_MAX = 900.0
PROBE_S_MAX = 60.0
HERE = Path(__file__).parent


class UnavailableError(Exception):
    """A peer cannot be run here; the message says why, in a line."""


def default_folder() -> Path:
    """Where environments are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossrank" / "benchmark-peers"


def online() -> bool:
    """Whether pip's registry answers."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet"]
    probe = [*pip, "--retries", "0", "--timeout", "10", "--only-binary=:all:", "tokenizers==0.23.3"]
    try:
        return _run(probe, PROBE_S_MAX) is None
    except subprocess.TimeoutExpired:
        return False


@dataclass(slots=True)
class Environments:
    """The folder of environments and exports. What failed once in this run is not tried again."""

    folder: Path
    model: Path
    calibration: list[tuple[str, str]]
    offline: bool = False
    failed: dict[str, str] = field(default_factory=dict)

    def python(self, name: str) -> Path:
        """The interpreter of an environment, which is made if it is not there.

        Raises:
            UnavailableError: it could not be installed.
        """
        packages, unwanted = ENVIRONMENTS[name], UNWANTED.get(name, ())
        if not packages:
            return Path(sys.executable)
        self._refuse_failed(name)
        folder = self.folder / f"{name}-{_digest(*packages, *unwanted, sys.version)}"
        if not (folder / "ready").exists():
            self._refuse_offline()
            print(f"Installing {', '.join(packages)} into {folder} ...", file=sys.stderr, flush=True)
            try:
                self._install(folder, packages, unwanted)
            except UnavailableError as exc:
                self.failed[name] = str(exc)
                raise
        return folder / "bin" / "python"

    def export(self, name: str) -> Path:
        """The folder with an exported model, which is made if it is not there.

        Raises:
            UnavailableError: it could not be made.
        """
        self._refuse_failed(f"export {name}")
        spec = EXPORTS[name]
        source = self.model if spec.needs is None else self.export(spec.needs)
        python = self.python(spec.environment)
        recipe = (HERE / "exports.py").read_text()
        folder = self.folder / f"export-{name}-{_digest(_fingerprint(self.model), python.parts[-3], recipe)}"
        if (folder / "ready").exists():
            return folder
        print(f"Exporting the model: {name} ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        pairs = folder / "calibration.json"
        pairs.write_text(json.dumps(self.calibration))
        command = [str(python), str(HERE / "exports.py"), name, str(self.model), str(source), str(folder), str(pairs)]
        error = _run_bounded(command, EXPORT_S_MAX, f"export {name}")
        if error is not None:
            self.failed[f"export {name}"] = error
            raise UnavailableError(error)
        (folder / "ready").touch()
        return folder

    def _refuse_failed(self, name: str) -> None:
        if name in self.failed:
            raise UnavailableError(self.failed[name])

    def _refuse_offline(self) -> None:
        """Asked once: whether anything can be installed."""
        self.offline = self.offline or not online()
        if self.offline:
            raise UnavailableError(f"is not installed in {self.folder}, and pip's registry does not answer")

    @staticmethod
    def _install(folder: Path, packages: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        error = _run_bounded([sys.executable, "-m", "venv", str(folder)], INSTALL_S_MAX, "venv")
        pinned = folder / "constraints.txt"
        pinned.write_text(f"{TORCH}\n")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        bounded = ["--retries", "2", "--timeout", "30", "--only-binary=:all:", "--constraint", str(pinned)]
        error = error or _run_bounded([*pip, "install", *bounded, *packages], INSTALL_S_MAX, "pip")
        if unwanted:
            error = error or _run_bounded([*pip, "uninstall", "--yes", *unwanted], INSTALL_S_MAX, "pip")
        if error is not None:
            shutil.rmtree(folder, ignore_errors=True)
            raise UnavailableError(f"does not install: {error}")
        (folder / "ready").touch()


def _run_bounded(command: list[str], seconds_max: float, what: str) -> str | None:
    try:
        error = _run(command, seconds_max)
    except subprocess.TimeoutExpired:
        return f"{what} took over {seconds_max:.0f} s"
    return None if error is None else f"{what}: {error}"


def _run(command: list[str], seconds_max: float) -> str | None:
    """None, or the line that says best what went wrong."""
    environ = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    environ.pop("PYTHONPATH", None)
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds_max, check=False, env=environ, stdin=subprocess.DEVNULL
    )
    if process.returncode == 0:
        return None
    lines = [line.strip() for line in process.stderr.splitlines() if line.strip() and "WARNING" not in line]
    errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:] or [f"exit code {process.returncode}"]
    return errors[0][:300]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]


def _fingerprint(model: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted({*model.glob("*.json"), *model.glob("*.safetensors")}):  # its card may say anything
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
