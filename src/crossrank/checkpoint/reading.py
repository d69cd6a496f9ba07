"""How what a head gives becomes one score: its labels, how they are read as one logit, the activation after that.

It knows config.json's and sentence-transformers' keys; not families, tensors or any engine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from crossrank.checkpoint.settings import read_object
from crossrank.errors import UnsupportedModelError

ScoreActivation = Literal["sigmoid", "identity"]
Reading = Literal["score", "odds", "grade"]  # one label; two, the second against the first; grades from 0 upwards

SCORE_ACTIVATIONS: Mapping[str, ScoreActivation] = {  # sentence-transformers names a torch class
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.linear.Identity": "identity",
}
ACTIVATION_OF: Mapping[Reading, ScoreActivation | None] = {"score": None, "odds": "sigmoid", "grade": "identity"}
ONE_LABEL: tuple[int, Reading] = (1, "score")
RELEVANT = {"relevant", "yes", "true", "1", "label_1"}  # what the second of two labels may be called


def read_labels(config: Mapping[str, Any], name: str, *, classes: bool = False) -> tuple[int, Reading]:
    """How many labels there are, and how they are read.

    Raises:
        UnsupportedModelError: the labels are no grades of relevance; not where `classes` are wanted one by one.
    """
    names = [str(label) for _, label in sorted((config.get("id2label") or {}).items(), key=lambda item: int(item[0]))]
    labels = len(names) or int(config.get("num_labels", 2))
    if labels == 1:
        return ONE_LABEL
    numbered = all(label.upper() in (f"LABEL_{i}", str(i)) for i, label in enumerate(names))
    if labels == 2 and (numbered or names[1].lower() in RELEVANT):
        return 2, "odds"
    if classes or (numbered and labels > 2):
        return labels, "grade"
    raise UnsupportedModelError(
        f"{name!r} has a head of {labels} labels ({', '.join(names[:6])}); a reranker has one, or two of which the "
        "second is relevance, or grades that are numbered from 0. It looks like a classifier."
    )


def read_activation(config: Mapping[str, Any], sentence: Mapping[str, Any], name: str) -> ScoreActivation:
    """As sentence-transformers resolves it: its own file, then config.json (new key, old key), then sigmoid."""
    given = (
        sentence.get("activation_fn")
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    if given not in SCORE_ACTIVATIONS:
        raise UnsupportedModelError(
            f"{name!r} turns logits into scores with {given!r}; known are {', '.join(SCORE_ACTIVATIONS)}"
        )
    return SCORE_ACTIVATIONS[given]


def read_cross_encoder(folder: Path, name: str) -> Mapping[str, Any]:
    """What sentence-transformers stored of a CrossEncoder; it reads that only beside modules.json, as we do."""
    saved = read_object(folder / "config_sentence_transformers.json", optional=True)
    if saved.get("model_type") != "CrossEncoder" or not (folder / "modules.json").is_file():
        return {}
    prompt = saved.get("default_prompt_name")
    if prompt is not None and (saved.get("prompts") or {}).get(prompt):
        raise UnsupportedModelError(
            f"{name!r} puts a default prompt ({prompt!r}) before its texts, which is not supported yet"
        )
    return saved
