"""Which family a checkpoint is of, and whether it is a reranker at all; what it is instead is said by name.

It knows config.json and the table of families; not tensors, tokenizers or any engine.
"""

from collections.abc import Mapping
from typing import Any

from crossrank.checkpoint.families import FAMILIES, Family
from crossrank.checkpoint.modules import Chain
from crossrank.checkpoint.prompts import PROMPTS, Prompt
from crossrank.errors import UnsupportedModelError

CLASSIFIER = "ForSequenceClassification"
LISTWISE = (
    "reads all documents of a query in one prompt (listwise), so that a document's score depends on those beside it: "
    "it cannot be scored pair by pair. Its vendor serves it: Reranker({remote!r})."
)
REFUSED: Mapping[str, str] = {  # architectures that are rerankers, and why they cannot be run here
    "JinaForRanking": LISTWISE.format(remote="jina:jina-reranker-v3"),
    "JinaVLForRanking": "reads pictures beside texts, which is not supported. Its vendor serves it: "
    "Reranker('jina:jina-reranker-m0').",
    "CostWiseGemmaForCausalLM": "merges tokens between its layers, which is not supported. "
    "BAAI/bge-reranker-v2-gemma and BAAI/bge-reranker-v2-minicpm-layerwise are.",
}
BROUGHT = "its modelling code is in the checkpoint (auto_map in config.json), and code of a checkpoint is never run."
REMOTE = (
    f"{BROUGHT} crossrank has a net of its own for it, written from the public reference, but nobody has compared the "
    "scores of the two with the real weights yet"
)


def named(config: Mapping[str, Any]) -> str:
    """The architecture, as config.json names it; "" for none."""
    return str((config.get("architectures") or [""])[0])


def family_of(config: Mapping[str, Any]) -> Family | None:
    """The family that is known of a checkpoint, by the code that it would bring along, else by its model_type."""
    marks = {named(config), *_remote_classes(config).values()}
    brought = (family for family in FAMILIES.values() if family.remote_code in marks and family.remote_code)
    return next(brought, FAMILIES.get(str(config["model_type"])))


def unverified(config: Mapping[str, Any], family: Family | None) -> str:
    """Why nobody knows whether the scores are those of the authors' own code; "" where it is known."""
    if family is not None and family.remote_code:
        return REMOTE
    if family is not None and named(config) in _remote_classes(config).values():
        return (
            f"{BROUGHT} It can be read as the {family.architecture} that it is named after, but may be something else"
        )
    return ""


def check_architecture(config: Mapping[str, Any], family: Family | None, chain: Chain | None, name: str) -> None:
    """Raise unless the checkpoint is a reranker that something here can run."""
    architecture = named(config)
    foreign = family is None or family.foreign
    if (foreign and chain) or (family is None and (config.get("auto_map") or not architecture.endswith(CLASSIFIER))):
        raise UnsupportedModelError(
            f"{name!r} is of the family {config['model_type']!r} ({architecture or 'no architecture is named'}); this "
            f"version scores {', '.join(FAMILIES)}"
            + (
                ". Its code is in the checkpoint, and code of a checkpoint is never run."
                if config.get("auto_map")
                else f", and what transformers has as ...{CLASSIFIER}."
            )
        )
    expected = None if family is None else family.body if chain else family.architecture
    if family is not None and expected is not None and architecture != expected:
        raise UnsupportedModelError(
            f"{name!r} is a {architecture or 'model of no named architecture'}, which "
            + (
                f"is not what its modules are made for: they come after a {expected}."
                if chain
                else f"has no reranking head: it is an embedding, language or other model. {_instead(family)}"
            )
        )
    learned = family is not None and family.learned_only
    if learned and (config.get("position_embedding_type") or "absolute") != "absolute":
        # transformers of today would read over it and score by other positions.
        raise UnsupportedModelError(
            f"{name!r} uses {config['position_embedding_type']!r} positions; only absolute ones are known"
        )


def check_refused(config: Mapping[str, Any], name: str) -> None:
    """Raise for a reranker that is known and cannot be run, with the reason."""
    architecture = named(config)
    if architecture in REFUSED:
        raise UnsupportedModelError(f"{name!r} is a {architecture}, which {REFUSED[architecture]}")


def check_asked(config: Mapping[str, Any], prompt: Prompt | None, name: str) -> None:
    """Raise for a language model of which nothing says how it is asked for relevance."""
    if prompt is None:
        raise UnsupportedModelError(
            f"{name!r} is a {named(config)}, a language model without a reranking head, and its files do not say how "
            "it is asked for relevance. If it was trained as a reranker, name its template: template= one of "
            f"{', '.join(PROMPTS)}."
        )


def _instead(family: Family) -> str:
    kinds = [kind for kind in (family.architecture, family.language_model) if kind]
    return f"A reranker of this family is a {' or a '.join(kinds)}."


def _remote_classes(config: Mapping[str, Any]) -> dict[str, str]:
    """The classes whose code a checkpoint would bring along, by the class of transformers that stands for them."""
    mapped = config.get("auto_map") or {}
    return {str(kind): str(path).rsplit(".", 1)[-1] for kind, path in mapped.items() if path is not None}
