"""A model of transformers as an ONNX graph that gives logits, rows and tokens of any number.

It knows torch and transformers; not scores, folders of results or engines. No code in a checkpoint is run.
"""

import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crossrank.backends.onnx_graph import read_graph
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.weights import load_weights
from crossrank.errors import CrossrankError, MissingExtra, UnsupportedModelError, UsageError, WeightsError
from crossrank.export.headed import Headed

OPSET = 18  # the lowest that the exporter writes by itself, so that the most runtimes read it
OPSET_MIN = 7  # the lowest that ONNX Runtime reads
ROWS, TOKENS = 2, 12  # of the example that the graph is made from
ONE_FILE = 1_500_000_000  # bytes of weights; a protobuf ends at 2 GB, those of larger models go beside it
NOISY = ("torch.onnx", "onnxscript", "onnx_ir")
NAMED_MAX = 12
BESIDE = ("pooler.", "lm_head.")  # of a body whose head is the profile's: not looked at


class Logits(torch.nn.Module):  # type: ignore[misc]
    """A classifier that gives its logits and nothing else."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Logits [rows, labels]."""
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **given).logits
        return logits


def write_graph(folder: Path, profile: ModelProfile, file: Path, *, opset: int = OPSET) -> tuple[str, ...]:
    """Write the model in `folder` to `file`, in fp32; the names of its inputs.

    Raises:
        MissingExtra: what writes ONNX is not installed.
        UnsupportedModelError: transformers or the exporter does not know the model.
        WeightsError: the weights do not fit the architecture.
        UsageError: the exporter cannot write that opset.
    """
    _check_installed()
    _check_opset(opset)
    with _silence():
        model = _load(folder, profile)
        headed = Logits(model) if _of_its_own(profile) else Headed(model, profile, load_weights(folder, profile))
        example = _example(profile, model)
        axes = {0: torch.export.Dim("rows"), 1: torch.export.Dim("tokens")}
        size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
        try:
            torch.onnx.export(
                headed.eval(),
                (),
                str(file),
                kwargs=example,
                input_names=list(example),
                output_names=["logits"],
                dynamic_shapes=dict.fromkeys(example, axes),
                opset_version=opset,
                dynamo=True,
                external_data=size > ONE_FILE,
                verbose=False,
            )
        except (OSError, CrossrankError, MemoryError):
            raise
        except Exception as exc:  # the exporter lets through what any step of it raises
            first = next(iter(str(exc).strip().splitlines()), type(exc).__name__)
            raise UnsupportedModelError(
                f"{profile.name!r} cannot be exported with torch {torch.__version__}: {first[:300]}"
            ) from exc
    _without_shapes(file)
    written = read_graph(file).opset
    if written != opset:  # it goes on where it cannot convert
        raise UsageError(f"--opset {opset}: the exporter could write this model in opset {written} only. Leave it out.")
    return tuple(example)


def _of_its_own(profile: ModelProfile) -> bool:
    """Whether transformers has the model with its head."""
    return not profile.modular and profile.answers is None


def _check_opset(opset: int) -> None:
    """Raise for what no exporter writes, before it has worked for a minute."""
    from onnx.defs import onnx_opset_version

    most = onnx_opset_version()
    if not OPSET_MIN <= opset <= most:
        raise UsageError(f"--opset {opset}: the exporter writes {OPSET_MIN} to {most} here. Leave it out for {OPSET}.")


def _without_shapes(file: Path) -> None:
    """Leave out the shapes of what is in between: ONNX Runtime's quantiser fails over them, and nobody needs them."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    del model.graph.value_info[:]
    onnx.save(model, file)


def _example(profile: ModelProfile, model: torch.nn.Module) -> dict[str, Tensor]:
    """Rows to trace: one with padding, so that the mask stays in the graph."""
    tokens = min(TOKENS, profile.max_length)
    ids = torch.full((ROWS, tokens), (profile.pad_id + 1) % profile.vocabulary)
    mask = torch.ones_like(ids)
    ids[-1, tokens // 2 :], mask[-1, tokens // 2 :] = profile.pad_id, 0
    example = {"input_ids": ids, "attention_mask": mask}
    accepted = inspect.signature(model.forward).parameters
    if profile.family.has_segments and profile.segments > 1 and "token_type_ids" in accepted:
        segments = torch.zeros_like(ids)
        segments[:, tokens // 3 :] = 1
        example["token_type_ids"] = segments * mask
    return example


def _load(folder: Path, profile: ModelProfile) -> torch.nn.Module:
    try:
        from transformers import AutoModel, AutoModelForSequenceClassification
    except ImportError as exc:
        raise MissingExtra("transformers is not installed. Run: pip install 'crossrank[export]'") from exc
    own = _of_its_own(profile)
    try:
        model, loaded = (AutoModelForSequenceClassification if own else AutoModel).from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except Exception as exc:  # transformers raises what its many parts raise
        raise UnsupportedModelError(f"transformers cannot open {profile.name!r}: {exc}") from exc
    beside = () if own else BESIDE
    read = {kind: [n for n in sorted(map(str, names)) if not n.startswith(beside)] for kind, names in loaded.items()}
    wrong = {kind: names for kind, names in read.items() if names}
    if wrong:
        listed = "; ".join(f"{kind}: {', '.join(names[:NAMED_MAX])}" for kind, names in wrong.items())
        raise WeightsError(
            f"The weights of {profile.name!r} do not fit a {profile.architecture} of transformers: {listed}. "
            "Use a checkpoint that was trained and saved as a reranker."
        )
    model.config.use_cache = False  # of decoders: would be further outputs
    module: torch.nn.Module = model.eval()
    return module


def _check_installed() -> None:
    from importlib.util import find_spec

    if absent := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise MissingExtra(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed, and needed to write ONNX. "
            "Run: pip install 'crossrank[export]'"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep to itself what torch and transformers say while they work: bars, advice, steps that were skipped."""
    loggers: list[Any] = [logging.getLogger(name) for name in (*NOISY, "transformers")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(StringIO()), _no_bars():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _no_bars() -> Iterator[None]:
    try:
        from transformers.utils import logging as bars
    except ImportError:  # said where the model is opened
        yield
        return
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
