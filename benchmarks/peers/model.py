"""The model that all peers run, told to read 512 tokens: its time for long texts counts, whatever it was trained on."""

import json
from pathlib import Path
from shutil import copytree, rmtree

from peers.passages import LENGTH_MAX


def at_full_length(model: Path, target: Path) -> Path:
    """A copy of the checkpoint in `target` that states 512 tokens as its limit; the model itself where it does."""
    settings = json.loads((model / "tokenizer_config.json").read_text(encoding="utf-8"))
    if settings.get("model_max_length", LENGTH_MAX) >= LENGTH_MAX:
        return model
    rmtree(target, ignore_errors=True)
    copytree(model, target)
    settings["model_max_length"] = LENGTH_MAX
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return target
