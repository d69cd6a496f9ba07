"""Models whose weights need not be had: checkpoints of a known model's shape, with random weights.

The time that a model takes depends on its shape and on the lengths of texts, not on what its weights are. Texts are
tokenised by the bundled model's tokenizer in all of them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copy
from tempfile import TemporaryDirectory

from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.source import bundled_folder

LENGTH_MAX = 512


@dataclass(frozen=True, slots=True)
class Shape:
    """A model's dimensions, and the model that is known for them."""

    name: str
    known_as: str
    family: str
    hidden: int
    heads: int
    layers: int
    vocabulary: int


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("MiniLM-L6", "cross-encoder/ms-marco-MiniLM-L6-v2", "bert", 384, 12, 6, 30_522),
        Shape("MiniLM-L12", "cross-encoder/ms-marco-MiniLM-L12-v2", "bert", 384, 12, 12, 30_522),
        Shape("bge-base", "BAAI/bge-reranker-base", "xlm-roberta", 768, 12, 12, 250_002),
        Shape("bge-large", "BAAI/bge-reranker-large", "xlm-roberta", 1024, 16, 24, 250_002),
    )
}
TINY = Shape("tiny", "no model", "bert", 24, 2, 2, 30_522)  # to see that everything works


@contextmanager
def checkpoint_of(shape: Shape) -> Iterator[Path]:
    """A folder with its checkpoint, fp16, removed afterwards."""
    with TemporaryDirectory(prefix="crossrank-shape-") as parent:
        folder = Path(parent) / shape.name
        write_shape(shape, folder)
        yield folder


def write_shape(shape: Shape, folder: Path) -> None:
    """Write its checkpoint."""
    from crossrank.testing import tiny_checkpoint

    tiny_checkpoint(
        folder,
        shape.family,
        hidden=shape.hidden,
        heads=shape.heads,
        layers=shape.layers,
        max_length=LENGTH_MAX,
        dtype="F16",
        config={"vocab_size": shape.vocabulary, "intermediate_size": 4 * shape.hidden},
    )
    _put_tokenizer(folder, one_segment=not FAMILIES[shape.family].has_segments)


def _put_tokenizer(folder: Path, *, one_segment: bool) -> None:
    """The bundled model's, which cuts English into about as many tokens as the models' own."""
    bundled = bundled_folder()
    settings = json.loads((bundled / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["model_max_length"] = LENGTH_MAX
    if one_segment:
        from tokenizers import Tokenizer, processors

        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        settings["model_input_names"] = ["input_ids", "attention_mask"]
        tokenizer = Tokenizer.from_file(str(bundled / "tokenizer.json"))
        marks = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] [SEP] $B [SEP]", special_tokens=marks
        )
        tokenizer.save(str(folder / "tokenizer.json"))
    else:
        copy(bundled / "tokenizer.json", folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
