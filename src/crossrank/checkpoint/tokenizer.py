"""A checkpoint's tokenizer, and the template by which it joins a query and a document into one sequence.

It knows tokenizer files; not weights, engines or documents.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from crossrank.checkpoint.profile import UNKNOWN_ID, ModelProfile
from crossrank.checkpoint.prompts import Prompt
from crossrank.checkpoint.settings import read_json, read_text
from crossrank.errors import CheckpointError

BYTES_MAX = 256 << 20  # of tokenizer.json; the largest in use has about 35 MB
PARALLELISM = "TOKENIZERS_PARALLELISM"


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """`before` query `between` document `after`, as token ids, with the segment of each part.

    Attributes:
        before: token ids, as between and after are.
        between: see there.
        after: see there.
        segments: of before, query, between, document, after.
        query: texts around the query's that are tokenised with it.
        document: text before the document's that is tokenised with it.
        lead: the same as token ids, for windows that begin further on.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    segments: tuple[int, int, int, int, int]
    query: tuple[str, str] = ("", "")
    document: str = ""
    lead: tuple[int, ...] = ()

    @property
    def special_tokens(self) -> int:
        """How many tokens the template adds to those of the query and the document."""
        return len(self.before) + len(self.between) + len(self.after)

    def asked(self, query: str) -> str:
        """The text that is tokenised for a query."""
        before, after = self.query
        return before + query + after


def _after_fork() -> None:
    """Let tokenizers work on one thread in a forked child: the pool that it would wait for stayed in the parent.

    It does so by itself unless somebody has set the variable, as training libraries do; then it would wait for ever.
    """
    os.environ[PARALLELISM] = "false"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _file_at_fault() -> Iterator[None]:
    """What the library raises over an odd file, a bare Exception or a panic (which is none), as an error of ours."""
    try:
        yield
    except BaseException as exc:
        if type(exc) is not Exception and type(exc).__name__ != "PanicException":
            raise
        raise CheckpointError(f"The tokenizer contradicts itself ({exc}). Download the model again.") from exc


@_file_at_fault()
def load_tokenizer(folder: Path, profile: ModelProfile) -> Tokenizer:
    """The tokenizer, with truncation and padding off for good: changing either while encoding is not thread-safe."""
    try:
        if (file := folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_str(read_text(file, BYTES_MAX))
        else:
            tokenizer = _from_vocabulary(folder, profile)
    except CheckpointError:
        raise
    except Exception as exc:  # tokenizers raises bare Exception
        raise CheckpointError(f"The tokenizer in {folder} cannot be read: {exc}. Download the model again.") from exc
    if profile.lowercase and not _lowercases(json.loads(tokenizer.to_str()).get("normalizer")):
        own = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # Added tokens can have any id; the others are counted through.
    size = max([tokenizer.get_vocab_size(), *(i + 1 for i in tokenizer.get_added_tokens_decoder())])
    if size > profile.vocabulary:
        raise CheckpointError(
            f"The tokenizer of {profile.name!r} has {size} tokens, its weights know {profile.vocabulary}: "
            "they belong to different models"
        )
    return tokenizer


def _lowercases(normalizer: dict[str, Any] | None) -> bool:
    """Whether a normaliser, as tokenizer.json describes it, makes letters small."""
    if normalizer is None:
        return False
    parts = normalizer.get("normalizers") or []
    small = normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))
    return small or any(_lowercases(part) for part in parts)


@_file_at_fault()
def read_template(tokenizer: Tokenizer, profile: ModelProfile) -> PairTemplate:
    """The template, read off an encoded pair: whatever kind of post-processor made it."""
    probe = tokenizer.encode("a", "b")
    places = [sequence for sequence in probe.sequence_ids if sequence is not None]
    if not (places and places == sorted(places) and set(places) == {0, 1}):
        raise CheckpointError(f"The tokenizer of {profile.name!r} does not put the query before the document")
    query = [i for i, sequence in enumerate(probe.sequence_ids) if sequence == 0]
    document = [i for i, sequence in enumerate(probe.sequence_ids) if sequence == 1]
    ids = probe.ids
    parts = (ids[: query[0]], ids[query[-1] + 1 : document[0]], ids[document[-1] + 1 :])
    if not all(parts):
        raise CheckpointError(
            f"The tokenizer of {profile.name!r} adds no special tokens around a pair, so the model could not tell "
            "the query from the document. Its tokenizer.json lacks the post-processor; export it again."
        )
    types = probe.type_ids
    after = types[document[-1] + 1]
    segments = (types[0], types[query[0]], types[query[-1] + 1], types[document[0]], after)
    if not profile.family.has_segments or profile.segments <= 1:
        segments = (0, 0, 0, 0, 0)
    if max(segments) >= max(profile.segments, 1):
        raise CheckpointError(
            f"The tokenizer of {profile.name!r} marks the parts of a pair as {segments}, its weights know "
            f"{profile.segments} segments: they belong to different models"
        )
    return PairTemplate(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]), segments)


def prompt_template(tokenizer: Tokenizer, prompt: Prompt, instruction: str | None) -> PairTemplate:
    """The template of a model that is asked in words: each text is tokenised on its own."""
    texts = prompt.texts(instruction)

    def ids(*parts: str) -> tuple[int, ...]:
        return tuple(i for part in parts for i in tokenizer.encode(part, add_special_tokens=False).ids)

    return PairTemplate(
        before=ids(*texts.before),
        between=ids(texts.between),
        after=ids(*texts.after),
        segments=(0, 0, 0, 0, 0),
        query=texts.query,
        document=texts.document,
        lead=ids(texts.document.rstrip(" ")),
    )


def prefixed(template: PairTemplate, instruction: str | None) -> PairTemplate:
    """The template with an instruction as a line of text before the query, for models that have no place for one."""
    before, after = template.query
    return template if instruction is None else replace(template, query=(f"{before}{instruction}\n", after))


def with_answers(profile: ModelProfile, tokenizer: Tokenizer) -> ModelProfile:
    """The profile with the token ids of its prompt's answers; as it is where they are known, or none is asked.

    Raises:
        CheckpointError: an answer is not one token.
    """
    step, prompt = profile.answers, profile.prompt
    if step is None or prompt is None or step.yes != UNKNOWN_ID:
        return profile

    def one(word: str) -> int:
        ids = tokenizer.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise CheckpointError(
                f"The template {prompt.name!r} counts the answer {word!r}, which is {len(ids)} tokens to the "
                f"tokenizer of {profile.name!r}: the model was not made for it."
            )
        return int(ids[0])

    no = None if prompt.no is None else one(prompt.no)
    return replace(profile, head=(replace(step, yes=one(prompt.yes), no=no),))


def _from_vocabulary(folder: Path, profile: ModelProfile) -> Tokenizer:
    """A WordPiece tokenizer from vocab.txt, as older BERT and ELECTRA checkpoints store it."""
    from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

    vocabulary = folder / "vocab.txt"
    if not (profile.family.has_segments and vocabulary.is_file()):
        raise CheckpointError(
            f"{folder} has no tokenizer.json. Save it with transformers: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    config = read_json(folder / "tokenizer_config.json", default={})
    built = BertWordPieceTokenizer(
        str(vocabulary),
        lowercase=bool(config.get("do_lower_case", True)),
        strip_accents=config.get("strip_accents"),
        handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
    )
    return Tokenizer.from_str(built.to_str())
