"""The ONNX engine: models that are stored as ONNX, on any execution provider that ONNX Runtime has.

It knows profiles, files and batches; not texts, pairs or caches. It needs no torch.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from crossrank.backends.contract import BackendFacts, Batch, Limits, Logits, Pending
from crossrank.backends.onnx_files import onnx_file
from crossrank.backends.onnx_rows import side_by_side
from crossrank.backends.onnx_session import Session, failed, open_session, short_of_memory
from crossrank.checkpoint.profile import ModelProfile
from crossrank.checkpoint.tokenizer import load_tokenizer, read_template
from crossrank.errors import UnsupportedModelError
from crossrank.nets.lengths import by_length

BATCH_TOKENS = 16_384  # about a second of a small model: deadlines and Ctrl-C are looked at in between
ROWS_MAX = 4_096
TOGETHER_A_CORE = 512  # tokens that are run together: a CPU is fastest where what is in between stays in its caches
TOGETHER = 16_384  # elsewhere


class OnnxBackend:
    """A graph with its session.

    Args:
        profile: of the model.
        session: of its file.
        facts: what it runs on.
        rows_alone: a row's numbers would depend on the rows beside it, so each is run by itself.
        batch_tokens: the most tokens of one call.
    """

    def __init__(
        self,
        profile: ModelProfile,
        session: Session,
        facts: BackendFacts,
        *,
        rows_alone: bool = False,
        batch_tokens: int | None = None,
    ) -> None:
        self._profile, self._session = profile, session
        self._together = TOGETHER_A_CORE * session.threads or TOGETHER
        if rows_alone or session.one_row:
            self._together = 1
        self.facts = facts
        self.limits = Limits(tokens_max=int(batch_tokens or BATCH_TOKENS), rows_max=ROWS_MAX)

    def run(self, batch: Batch, *, exact: bool = False) -> Logits:  # noqa: ARG002 - a file has one precision
        """Logits fp32 [rows, labels]; `exact` changes nothing, so that what is not finite stays an error."""
        lengths = np.diff(batch.offsets)
        batch.check_ids(self._profile.vocabulary)  # on a GPU another one would read whatever stands there
        logits = np.empty((len(lengths), self._profile.labels), np.float32)
        for bucket in by_length(lengths.tolist(), self._together):
            for rows, part in self._parts(batch, bucket):
                logits[rows] = part
        return logits

    def begin(self, batch: Batch, *, aside: bool = False) -> Pending:  # noqa: ARG002 - it has no thread of its own
        """The batch, computed at once."""
        logits = self.run(batch)
        return lambda: logits

    def _parts(self, batch: Batch, rows: list[int]) -> Iterator[tuple[list[int], Logits]]:
        """The logits of rows; in halves where memory is too short for all of them."""
        try:
            part = self._pass(batch, rows)
        except Exception as exc:  # ONNX Runtime's errors share no base below Exception
            if len(rows) == 1 or not short_of_memory(exc):
                tokens = int(batch.offsets[rows[0] + 1] - batch.offsets[rows[0]])
                raise failed(exc, self._profile.name, tokens) from exc
        else:
            yield rows, part
            return
        middle = len(rows) // 2
        yield from self._parts(batch, rows[:middle])
        yield from self._parts(batch, rows[middle:])

    def _pass(self, batch: Batch, rows: Sequence[int]) -> Logits:
        padded = side_by_side(batch, rows, self._profile.pad_id)
        named = {"input_ids": padded.ids, "attention_mask": padded.mask, "token_type_ids": padded.segments}
        given = {name: named[name].astype(kind, copy=False) for name, kind in self._session.inputs.items()}
        (found,) = self._session.runtime.run([self._session.output], given)
        if found.shape != (len(rows), self._profile.labels):
            raise ValueError(
                f"{self._session.output} is {list(found.shape)} for {len(rows)} rows of {self._profile.labels} labels"
            )
        part: Logits = found.astype(np.float32)
        return part


def open_onnx(
    profile: ModelProfile,
    folder: Path,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    batch_tokens: int | None = None,
) -> OnnxBackend:
    """The model in `folder` on ONNX Runtime; which of its files is the business of `onnx_file`.

    Raises:
        MissingExtra: ONNX Runtime is not installed.
        UsageError: there is no such device, or no file of that precision.
        CheckpointError, UnsupportedModelError: the file is broken, or no reranker's.
    """
    file, graph = onnx_file(folder, precision)
    session = open_session(file, graph, device=device, threads=threads, labels=profile.labels)
    if "token_type_ids" not in session.inputs and _marks_segments(profile, folder):
        raise UnsupportedModelError(
            f"{file} has no input token_type_ids, by which {profile.name!r} tells the query from the document: it "
            "would give other scores than the model it was made from. Export it again with that input; "
            "`crossrank export` does."
        )
    facts = BackendFacts(
        "onnx",
        session.device,
        graph.precision,
        session.threads,
        str(file.relative_to(folder)),
        (graph.precision,),
    )
    return OnnxBackend(profile, session, facts, rows_alone=graph.rows_alone, batch_tokens=batch_tokens)


def _marks_segments(profile: ModelProfile, folder: Path) -> bool:
    """Whether rows hold other segments than 0. Of a family that is not known, only its tokenizer can tell."""
    if not profile.family.has_segments or profile.segments <= 1:
        return False
    return any(read_template(load_tokenizer(folder, profile), profile).segments)
