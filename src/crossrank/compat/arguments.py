"""What sentence-transformers' `CrossEncoder` takes and has no meaning here: named once a model, and what to do instead.

Whatever stands in no table is a mistake of the caller's and fails at the call.
"""

import warnings
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from crossrank.errors import ArgumentTypeError, UsageError

RENAMED = {  # what older versions called an argument
    "model_name_or_path": "model_name",
    "default_activation_function": "activation_fn",
    "activation_fct": "activation_fn",
    "sentences": "inputs",
}
OPENING = {
    "trust_remote_code": "code of a checkpoint is never run",
    "token": "set HF_TOKEN in the environment",
    "cache_folder": "set HF_HOME in the environment",
    "cache_dir": "set HF_HOME in the environment",
    "local_files_only": "set HF_HUB_OFFLINE=1 in the environment",
    "model_kwargs": "precision= and device= say how the model is computed",
    "automodel_args": "precision= and device= say how the model is computed",
    "processor_kwargs": "max_length= says how much of a pair is read",
    "tokenizer_kwargs": "max_length= says how much of a pair is read",
    "tokenizer_args": "max_length= says how much of a pair is read",
    "config_kwargs": "a checkpoint is taken as it is stored",
    "config_args": "a checkpoint is taken as it is stored",
    "classifier_dropout": "there is no training here; see crossrank train",
    "keep_in_fp32_modules": "precision='fp32', the default, keeps all",
    "model_card_data": "no card is written here",
    "backend": "the engine is chosen by what the checkpoint needs",
}
CALLING = {
    "num_workers": "tokenising uses all cores already",
    "device": "give device= or devices= when the model is opened",
    "pool": "one model uses all cores of the machine, and several GPUs with devices= when it is opened",
    "chunk_size": "batches are planned by tokens",
}
SILENT = (None, False)  # whoever gives these asks for nothing


class Ignored:
    """Tells of arguments without a meaning, each once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def tell(self, call: str, other: Mapping[str, Any], meaningless: Mapping[str, str], known: set[str]) -> None:
        """Warn of arguments that have no meaning here.

        Args:
            call: whose arguments they are, for messages.
            other: those that the call does not name.
            meaningless: which of them are ignored, and what to do instead.
            known: the arguments that the call names, for a suggestion.

        Raises:
            ArgumentTypeError: an argument that nobody knows.
        """
        for name, value in other.items():
            if name not in meaningless:
                close = get_close_matches(name, [*known, *meaningless], n=1)
                hint = f" Did you mean {close[0]!r}?" if close else f" Allowed: {', '.join(sorted(known))}."
                raise ArgumentTypeError(f"{call} got an unexpected argument {name!r}.{hint}")
            if value not in SILENT and name not in self._told:
                self._told.add(name)
                warnings.warn(f"{call}: {name}= has no effect in crossrank; {meaningless[name]}.", stacklevel=3)


def take(call: str, other: dict[str, Any], name: str, given: Any, default: Any = None) -> Any:
    """An argument that may have come under a name of older versions, which leaves `other`."""
    for old in [old for old, new in RENAMED.items() if new == name and old in other]:
        value = other.pop(old)
        if given is not default:
            raise ArgumentTypeError(f"{call} got both {name!r} and {old!r}, which mean the same; give one of them")
        given = value
    return given


def chosen_prompt(prompts: Mapping[str, str], default: str | None, prompt_name: str | None, prompt: str | None) -> str:
    """The text that goes before the query; "" for none.

    Raises:
        UsageError: there is no prompt of that name.
    """
    if prompt is not None:
        return prompt
    name = prompt_name if prompt_name is not None else default
    if name is None:
        return ""
    if name not in prompts:
        raise UsageError(f"There is no prompt named {name!r}; the model has: {', '.join(map(repr, prompts)) or 'none'}")
    return prompts[name]
