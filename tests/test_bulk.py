"""Many queries from files to a file: whatever interrupts a job, the next run finishes it to the same bytes."""

import gzip
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrank import Hit, Ranking, Reranker
from crossrank.bulk.corpus import Corpus
from crossrank.bulk.job import Job, read_job
from crossrank.bulk.output import Output
from crossrank.bulk.run import Format, Wish, blocks
from crossrank.collection import read_run
from crossrank.errors import CrossrankError, InputFileError, UsageError
from disks import full_disk

HEADER = {"of": "this test", "top_k": None}
BLOCKS = st.lists(st.binary(min_size=0, max_size=40), max_size=8)


class Overlap:
    """Ranks by shared words; remembers the queries it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def rank_many(
        self,
        queries: Iterable[str],
        documents_per_query: Iterable[Sequence[Any]],
        *,
        top_k: int | None = None,
        threshold: float | None = None,
        fields: Sequence[str] | None = None,
        show_progress_bar: bool | None = None,
    ) -> Iterator[Ranking]:
        for query, documents in zip(queries, documents_per_query, strict=True):
            self.asked.append(query)
            texts = [d if fields is None else " ".join(str(d[f]) for f in fields) for d in documents]
            shared = [float(len(set(query.split()) & set(text.split()))) for text in texts]
            order = sorted(range(len(texts)), key=lambda i: -shared[i])[:top_k]
            hits = (Hit(r, i, shared[i] / 10, shared[i], documents[i], texts[i]) for r, i in enumerate(order, 1))
            yield Ranking(tuple(hit for hit in hits if threshold is None or hit.score >= threshold), query)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six queries with up to five candidates each; the corpus has more."""
    folder = tmp_path_factory.mktemp("bulk")
    write(
        folder / "corpus.jsonl", [{"_id": f"d{i}", "title": f"t{i % 3}", "text": f"w{i} ü{i % 4} x"} for i in range(12)]
    )
    write(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"w{i} w{i + 1} t{i % 3} ü1"} for i in range(7)])
    run = [f"q{i} Q0 d{(i + k) % 12} {k} {10 - k} bm25" for i in range(6) for k in range(i % 5 + 1)]
    (folder / "run.trec").write_text("\n".join(run))
    return folder


def write(file: Path, entries: Iterable[Any]) -> None:
    file.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


def job_of(files: Path, **options: Any) -> Job:
    return read_job(files / "queries.jsonl", files / "run.trec", files / "corpus.jsonl", **options)


def ranked(files: Path, output: Path, wish: Wish, ranker: Overlap, limit: int | None = None) -> None:
    """As the command does; after `limit` queries it stops, as if interrupted."""
    with job_of(files) as job, Output(output, {**wish.header(), **job.header()}) as out:
        for number, block in enumerate(blocks(job, ranker, wish, done=out.done, name="overlap")):
            if number == limit:
                return
            out.add(block)


@given(BLOCKS, st.data())
@pytest.mark.property
def test_whatever_is_cut_off_is_written_again(wanted: list[bytes], data: st.DataObject) -> None:
    """A file that lost its end, or whose progress did, goes on from the last block that both of them have whole."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out"
        progress = Path(folder) / "out.progress"
        with Output(file, HEADER) as output:
            for block in wanted:
                output.add(block)
        header_end = progress.read_bytes().index(b"\n") + 1
        lost = data.draw(st.integers(0, file.stat().st_size))
        lost_progress = data.draw(st.integers(header_end, progress.stat().st_size))
        file.write_bytes(file.read_bytes()[:lost] + data.draw(st.sampled_from([b"", b"\0\0", b"{"])))
        progress.write_bytes(progress.read_bytes()[:lost_progress])
        with Output(file, HEADER) as output:
            assert b"".join(wanted[: output.done]) == file.read_bytes()
            for block in wanted[output.done :]:
                output.add(block)
        with Output(file, HEADER) as output:
            assert output.done == len(wanted)
        assert file.read_bytes() == b"".join(wanted)


@given(BLOCKS.filter(any), st.data())
@pytest.mark.property
def test_a_block_that_was_changed_is_not_kept(wanted: list[bytes], data: st.DataObject) -> None:
    """Nor is what comes after it; a power cut can leave zeros in a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "out"
        with Output(file, HEADER) as output:
            for block in wanted:
                output.add(block)
        content = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= 0xFF
        file.write_bytes(content)
        with Output(file, HEADER) as output:
            kept = b"".join(wanted[: output.done])
        assert file.read_bytes() == kept
        assert len(kept) <= at


def test_an_output_belongs_to_its_job(tmp_path: Path) -> None:
    """Another one is refused, with what differs; restarting takes it; so is a file that nothing is known of."""
    file = tmp_path / "out.jsonl"
    with Output(file, HEADER) as output:
        output.add(b"a\n")
    with pytest.raises(UsageError, match=r"not the same: top_k\. Give another -o, or --restart"):
        Output(file, {**HEADER, "top_k": 3})
    with pytest.raises(UsageError, match="not the same: of, new"):
        Output(file, {"new": 1, "top_k": None})
    assert file.read_bytes() == b"a\n"
    with Output(file, {**HEADER, "top_k": 3}, restart=True) as output:
        assert output.done == 0
        output.add(b"b\n")
    assert file.read_bytes() == b"b\n"
    (tmp_path / "out.jsonl.progress").unlink()
    with pytest.raises(UsageError, match="which would say what it holds, is not"):
        Output(file, HEADER)
    assert file.read_bytes() == b"b\n"
    (tmp_path / "out.jsonl.progress").write_text("no JSON\n")
    with pytest.raises(UsageError, match="is broken"):
        Output(file, HEADER)


def test_a_job_that_died_at_its_very_beginning(tmp_path: Path) -> None:
    """With half a header, which is not taken for another job's."""
    (tmp_path / "out.progress").write_text('{"of": "th')
    with Output(tmp_path / "out", HEADER) as output:
        output.add(b"a")
    with Output(tmp_path / "out", HEADER) as output:
        assert output.done == 1


@pytest.mark.parametrize("line", [b"no JSON\n", b"7\n", b"[1]\n", b'["1", "2"]\n', b"[-1, 0]\n"])
def test_a_line_of_progress_that_is_none(tmp_path: Path, line: bytes) -> None:
    """Ends what is known; the blocks before it stay."""
    with Output(tmp_path / "out", HEADER) as output:
        output.add(b"a")
    with (tmp_path / "out.progress").open("ab") as progress:
        progress.write(line)
    with Output(tmp_path / "out", HEADER) as output:
        assert output.done == 1
        output.add(b"b")
    with Output(tmp_path / "out", HEADER) as output:
        assert output.done == 2


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """The second is told so, before anything is cut off."""
    with Output(tmp_path / "out", HEADER) as output:
        output.add(b"a")
        with pytest.raises(UsageError, match="written by another process"):
            Output(tmp_path / "out", HEADER, restart=True)
    with Output(tmp_path / "out", HEADER) as output:
        assert output.done == 1


def test_an_output_must_be_a_file_of_ones_own(tmp_path: Path) -> None:
    """Not a folder, a device, or in a folder that is not there."""
    for wrong in (tmp_path, Path("/dev/null")):
        with pytest.raises(UsageError, match="no regular file"):
            Output(wrong, HEADER)
    with pytest.raises(UsageError, match="Give a file of yours with -o"):
        Output(tmp_path / "none" / "out", HEADER)


def test_a_full_disk_loses_nothing(tmp_path: Path, files: Path) -> None:
    """The error says that what was finished is kept; with room, the same command ends as if nothing had been."""
    wish = Wish(form="jsonl")
    ranked(files, tmp_path / "whole", wish, Overlap())
    with full_disk(1000), pytest.raises(CrossrankError, match="What was finished is kept; make room"):
        ranked(files, tmp_path / "out", wish, Overlap())
    assert (tmp_path / "out").stat().st_size == 1000
    left = Overlap()
    ranked(files, tmp_path / "out", wish, left)
    assert 0 < len(left.asked) < 6
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()


@given(st.data(), st.sampled_from(["jsonl", "trec"]), st.sampled_from([None, 2]), st.sampled_from([None, 0.1]))
@pytest.mark.property
def test_an_interrupted_job_ends_as_if_it_had_not_been(
    files: Path, data: st.DataObject, form: Format, top_k: int | None, threshold: float | None
) -> None:
    """In either format, with queries that have no hits; what was finished is not asked again."""
    wish = Wish(top_k=top_k, threshold=threshold, form=form)
    with tempfile.TemporaryDirectory() as folder:
        ranked(files, Path(folder) / "whole", wish, Overlap())
        whole = (Path(folder) / "whole").read_bytes()
        file = Path(folder) / "out"
        asked: list[str] = []
        for limit in [*data.draw(st.lists(st.integers(0, 3), max_size=3)), None]:
            ranker = Overlap()
            ranked(files, file, wish, ranker, limit)
            asked += ranker.asked[:limit]
            if limit is not None:
                file.write_bytes(file.read_bytes() + data.draw(st.binary(max_size=5)))
        assert file.read_bytes() == whole
        assert asked == [f"w{i} w{i + 1} t{i % 3} ü1" for i in range(6)]


def test_a_line_is_a_document_of_json(files: Path, tmp_path: Path) -> None:
    """Of a versioned schema, in the order of the queries, with the corpus's ids, by the run's order where equal."""
    ranked(files, tmp_path / "out", Wish(top_k=2), Overlap())
    lines = [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
    assert [line["query_id"] for line in lines] == [f"q{i}" for i in range(6)]
    assert list(lines[0]) == ["schema_version", "query_id", "query", "hits", "usage"]
    assert lines[1]["query"] == "w1 w2 t1 ü1"
    assert [(hit["rank"], hit["id"], hit["index"], hit["logit"]) for hit in lines[1]["hits"]] == [
        (1, "d1", 0, 3.0),
        (2, "d2", 1, 1.0),
    ]
    keys = "rank id index score logit tokens truncated passage scored_by"
    assert {tuple(hit) for line in lines for hit in line["hits"]} == {tuple(keys.split())}


def test_a_run_reads_as_it_was_ranked(files: Path, tmp_path: Path) -> None:
    """Equal scores are lowered until the order can be told from them, which is what trec_eval reads."""
    ranked(files, tmp_path / "out.trec", Wish(form="trec"), Overlap())
    ranked(files, tmp_path / "out.jsonl", Wish(), Overlap())
    run = read_run(tmp_path / "out.trec")
    for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        found = run[entry["query_id"]]
        assert [document for document, _ in found] == [hit["id"] for hit in entry["hits"]]
        scores = [score for _, score in found]
        assert all(above > below for above, below in pairwise(scores))


def test_a_model_ranks_as_it_does_one_by_one(files: Path, bundled: Reranker) -> None:
    """The same scores, whatever was ranked beside it or interrupted; fields are read where they are asked for."""
    with job_of(files) as job:
        lines = [json.loads(block) for block in blocks(job, bundled, Wish(), done=2, name="m")]
        assert [line["query_id"] for line in lines] == ["q2", "q3", "q4", "q5"]
        for line in lines:
            texts = job.documents(line["query_id"], whole=False)
            expected = bundled.rank(line["query"], texts)
            assert [(hit["index"], hit["score"]) for hit in line["hits"]] == [(h.index, h.score) for h in expected]
            assert line["usage"] == dict(expected.usage)
        (first, *_) = blocks(job, bundled, Wish(fields=("text",)), done=0, name="m")
        one = bundled.rank(job.texts["q0"], job.documents("q0", whole=True), fields=["text"])
        assert json.loads(first)["hits"][0]["score"] == one[0].score


def test_a_query_that_cannot_be_ranked_is_named(files: Path, tmp_path: Path, bundled: Reranker) -> None:
    """And those before it came, although they go through the model together."""
    queries = [{"_id": f"q{i}", "text": "word " * 600 if i == 3 else f"w{i}"} for i in range(6)]
    write(tmp_path / "queries.jsonl", queries)
    with read_job(tmp_path / "queries.jsonl", files / "run.trec", files / "corpus.jsonl") as job:
        came = blocks(job, bundled, Wish(), done=1, name="m")
        assert [json.loads(next(came))["query_id"] for _ in range(2)] == ["q1", "q2"]
        with pytest.raises(UsageError, match=r"query 'q3': .* never cut"):
            next(came)
        (first, *_) = [json.loads(block)["query_id"] for block in blocks(job, bundled, Wish(), done=4, name="m")]
        assert first == "q4"
        with pytest.raises(UsageError, match=r"query 'q0': .*none"):
            next(blocks(job, bundled, Wish(fields=("none",)), done=0, name="m"))


def test_only_wanted_documents_are_kept_track_of(tmp_path: Path) -> None:
    """Of a plain and of a packed file, with blank lines and a byte order mark; others need no text that is right."""
    lines = ["\ufeff" + json.dumps({"_id": "a", "text": "ä"}), "", json.dumps({"_id": 7, "title": "T", "text": "x"})]
    content = "\n".join([*lines, json.dumps({"_id": "b", "text": "y"}), ""]).encode()
    (tmp_path / "c.jsonl").write_bytes(content)
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(content))
    digests = set()
    for name in ("c.jsonl", "c.jsonl.gz"):
        with Corpus(tmp_path / name, {"a", "7", "none"}) as corpus:
            assert corpus["7"] == {"_id": 7, "title": "T", "text": "x"}
            assert corpus["a"]["text"] == "ä"
            assert ("b" in corpus, "none" in corpus) == (False, False)
            digests.add(corpus.digest)
    assert len(digests) == 1
    with Corpus(tmp_path / "c.jsonl", {"a", "b"}) as corpus:
        assert corpus.digest not in digests


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b'{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n',
            "line 2: the id 'a' stands in the file a second time",
        ),
        (b'{"_id": "a", "text": "x"}\n{"_id": "b"}\n', "line 2: each line must be"),
        (b"[1]\n", "line 1: each line must be"),
        (b'{"_id": "\xff", "text": "x"}\n', "line 1: .*utf-8"),
        (b"[" * 100_000, "line 1: "),
    ],
)
def test_a_corpus_that_cannot_be_read_names_the_line(tmp_path: Path, content: bytes, words: str) -> None:
    """With what is wrong there."""
    (tmp_path / "c.jsonl").write_bytes(content)
    with pytest.raises(InputFileError, match=words):
        Corpus(tmp_path / "c.jsonl", {"a"})


def test_a_corpus_that_is_not_there_or_changes(tmp_path: Path) -> None:
    """Is told of, instead of ranking other texts."""
    with pytest.raises(InputFileError, match="cannot be read"):
        Corpus(tmp_path / "none.jsonl", set())
    (tmp_path / "c.gz").write_bytes(b"no gzip")
    with pytest.raises(InputFileError, match="cannot be read"):
        Corpus(tmp_path / "c.gz", set())
    write(tmp_path / "c.jsonl", [{"_id": "a", "text": "x"}, {"_id": "b", "text": "y"}])
    with Corpus(tmp_path / "c.jsonl", {"a", "b"}) as corpus:
        write(tmp_path / "c.jsonl", [{"_id": "b", "text": "y"}, {"_id": "a", "text": "x"}])
        with pytest.raises(InputFileError, match="changed while it was read"):
            corpus["b"]
        (tmp_path / "c.jsonl").write_text("")
        with pytest.raises(InputFileError, match="changed while it was read"):
            corpus["b"]


def test_what_is_missing_is_named_or_left_out(files: Path, tmp_path: Path) -> None:
    """Documents that the corpus lacks, and queries that nobody wrote down; notes tell what was left out."""
    run = [f"q{i} Q0 {d} 1 1.0 t" for i in range(2) for d in ("d1", f"gone{i}")]
    (tmp_path / "run.trec").write_text("\n".join(run))
    three = (files / "queries.jsonl", tmp_path / "run.trec", files / "corpus.jsonl")
    with pytest.raises(InputFileError, match=r"2 documents of .* are not in it: 'gone0', 'gone1'\. Give the corpus"):
        read_job(*three)
    with read_job(*three, skip_missing=True) as job:
        assert job.candidates == {"q0": ["d1"], "q1": ["d1"]}
        assert [note.split(" ")[:3] for note in job.notes] == [["5", "of", "7"], ["2", "documents", "of"]]
    (tmp_path / "run.trec").write_text("q0 Q0 d1 1 1.0 t\nother Q0 d1 1 1.0 t\n")
    with pytest.raises(InputFileError, match=r"1 of its 2 queries are not in .*: 'other'"):
        read_job(*three)
    with read_job(*three, skip_missing=True) as job:
        assert list(job.texts) == ["q0"]
    (tmp_path / "run.trec").write_text("other Q0 d1 1 1.0 t\n")
    with pytest.raises(InputFileError, match="1 of its 1 queries"):
        read_job(*three, skip_missing=True)
    write(tmp_path / "queries.jsonl", [{"_id": "other", "text": " "}])
    with pytest.raises(InputFileError, match="1 queries have no text: 'other'"):
        read_job(tmp_path / "queries.jsonl", *three[1:])


def test_depth_takes_the_best_of_the_run(files: Path) -> None:
    """And another depth is another job, as is another text anywhere."""
    with job_of(files, depth=1) as job, job_of(files) as whole:
        assert job.candidates["q4"] == ["d4"]
        assert len(whole.candidates["q4"]) == 5
        assert {key for key in job.header() if job.header()[key] != whole.header()[key]} == {"candidates", "corpus"}
