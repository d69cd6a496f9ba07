"""The index on disk: built once, incremental, resumed after kill -9; `crossrank search`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from asked import BEST, QUERY, TEXTS
from crossrank import Reranker, errors
from crossrank.cli.main import cli, run
from crossrank.evaluate.bm25 import Bm25
from crossrank.retrieve import Bm25Index
from crossrank.retrieve import build as building
from crossrank.retrieve.build import MANIFEST, SEGMENTS
from crossrank.retrieve.segments import PORTION
from terminal import Terminal


def corpus(count: int) -> list[str]:
    words = ["python", "java", "paris", "snake", "tower", "created", "released", "language", "africa", "designed"]
    return [f"{words[i % 10]} {words[i * 7 % 10]} {words[i * 3 % 10]} passage {i}" for i in range(count)]


def search(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = run(lambda: cli.main(["search", *map(str, arguments)], standalone_mode=False))
    out, err = capsys.readouterr()
    assert code == 0, err
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "corpus.jsonl"
    file.write_text("".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)))
    return file


def test_finds_what_bm25_in_memory_finds(tmp_path: Path) -> None:
    """The same passages and scores, over several segments; equal scores in the corpus's order."""
    texts = corpus(2 * PORTION + 10)
    index = Bm25Index.build(tmp_path / "index", texts)
    assert len(index) == len(texts)
    memory = Bm25({str(i): text for i, text in enumerate(texts)})
    for query in ("python created", "snake in africa 17", "zzz"):
        found = index.retrieve(query, 20)
        expected = memory.search({"q": query}, 20)["q"]
        assert [str(item.document.line - 1) for item in found] == [document for document, _ in expected]
        assert [item.score for item in found] == pytest.approx([score for _, score in expected], rel=1e-5)
    assert index.retrieve("passage 3", 1)[0].document.document == texts[3]


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An appended passage costs its own portion; an unchanged corpus nothing; old generations go."""
    texts, written = corpus(2 * PORTION), list[int]()
    write = building.write_segment
    monkeypatch.setattr(building, "write_segment", lambda file, texts: (written.append(len(texts)), write(file, texts)))
    folder, told = tmp_path / "index", list[int]()
    old = Bm25Index.build(folder, texts, progress=told.append)
    Bm25Index.build(folder, texts)
    new = Bm25Index.build(folder, [*texts, "entirely new"])
    assert written == [PORTION, PORTION, 1]
    assert told == [PORTION, PORTION]
    assert new.retrieve("entirely", 3)[0].document.line == len(texts) + 1
    assert old.retrieve("entirely", 3) == []
    assert old.retrieve("python", 1)[0].document.text in texts
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 2


def test_killed_while_indexing_it_resumes(tmp_path: Path) -> None:
    """After kill -9 in the middle there is no index yet, whole segments stay, and the next build goes on from there."""
    code = f"""
import sys
from crossrank.retrieve import Bm25Index
from tests_corpus import corpus
def told(n):
    print(n, flush=True)
    sys.stdin.readline()
Bm25Index.build({str(tmp_path / "index")!r}, corpus({3 * PORTION}), progress=told)
"""
    (tmp_path / "tests_corpus.py").write_text(
        "words = 'python java paris snake tower created released language africa designed'.split()\n"
        "def corpus(count):\n"
        "    return [f'{words[i % 10]} {words[i * 7 % 10]} {words[i * 3 % 10]} passage {i}' for i in range(count)]\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        assert child.stdout.readline() == f"{PORTION}\n"
        with pytest.raises(errors.IndexFolderError, match="being built by another process"):
            Bm25Index.build(tmp_path / "index", ["a"])
        child.send_signal(signal.SIGKILL)
    segments = list((tmp_path / "index" / SEGMENTS).glob("*.npz"))
    assert segments
    with pytest.raises(errors.IndexFolderError, match="no finished index"):
        Bm25Index(tmp_path / "index")
    before = {segment: segment.stat().st_mtime_ns for segment in segments}
    index = Bm25Index.build(tmp_path / "index", corpus(3 * PORTION))
    assert {segment: segment.stat().st_mtime_ns for segment in segments} == before
    assert len(index) == 3 * PORTION
    assert index.retrieve("passage 17", 1)[0].document.line == 18


def test_half_written_files_are_made_again(tmp_path: Path) -> None:
    """A segment that is cut short, a generation without its end, a manifest that is no JSON."""
    folder, texts = tmp_path / "index", corpus(30)
    Bm25Index.build(folder, texts)
    (segment,) = (folder / SEGMENTS).iterdir()
    segment.write_bytes(segment.read_bytes()[:100])
    (folder / MANIFEST).write_text("{")
    (folder / f".{'0123' * 8}.part").mkdir()
    for path in folder.iterdir():
        if path.is_dir() and path.name not in (SEGMENTS, f".{'0123' * 8}.part"):
            path.rename(folder / f".{'beef' * 8}.part")
    assert len(Bm25Index.build(folder, texts).retrieve("python", 5)) == 3
    assert not list(folder.glob("*.part"))


def test_folders_that_are_no_index(tmp_path: Path) -> None:
    """Of another version, of somebody else, empty, damaged, with nothing to search."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(errors.IndexFolderError, match=r"holds something that is no index.*Give an empty folder"):
        Bm25Index.build(tmp_path / "other", TEXTS)
    with pytest.raises(OSError, match="no finished index"):
        Bm25Index(tmp_path / "nowhere")
    Bm25Index.build(tmp_path / "index", TEXTS)
    manifest = json.loads((tmp_path / "index" / MANIFEST).read_text())
    (tmp_path / "index" / MANIFEST).write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(errors.IndexFolderError, match=r"is an index of format 99, and this crossrank reads 1. Delete"):
        Bm25Index(tmp_path / "index")
    (tmp_path / "index" / MANIFEST).write_text(json.dumps(manifest))
    (tmp_path / "index" / manifest["generation"] / "indptr.csc.index.npy").write_bytes(b"x")
    with pytest.raises(errors.IndexFolderError, match="is damaged"):
        Bm25Index(tmp_path / "index")
    with pytest.raises(ValueError, match="has no passages"):
        Bm25Index.build(tmp_path / "empty", [])
    with pytest.raises(ValueError, match="has no words"):
        Bm25Index.build(tmp_path / "wordless", ["...", ""])


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in a file, a disk that is full: the message names the folder and how another is given."""
    (tmp_path / "file").touch()
    told = r"The index .* cannot be written: .*--index, or CROSSRANK_CACHE"
    with pytest.raises(errors.IndexFolderError, match=told):
        Bm25Index.build(tmp_path / "file" / "index", TEXTS)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crossrank.retrieve.build.write_segment", full)
    with pytest.raises(errors.IndexFolderError, match=told):
        Bm25Index.build(tmp_path / "index", TEXTS)


def test_what_lies_beside_segments_is_not_tidied_away(tmp_path: Path) -> None:
    """A folder of that name makes no index of somebody's project, and in an index only generations are removed."""
    (project := tmp_path / "film" / "segments").mkdir(parents=True)
    (project / "one.mp4").write_text("mine")
    (tmp_path / "film" / "sound").mkdir()
    with pytest.raises(errors.IndexFolderError, match="no index of crossrank's"):
        Bm25Index.build(tmp_path / "film", TEXTS)
    Bm25Index.build(tmp_path / "index", TEXTS[:1])
    (tmp_path / "index" / "notes").mkdir()
    Bm25Index.build(tmp_path / "index", TEXTS)
    assert (project / "one.mp4").exists()
    assert (tmp_path / "index" / "notes").exists()


@pytest.mark.parametrize("generation", ["../other", "/etc", "..", "", 7, None, "0" * 33])
def test_a_manifest_names_nothing_outside(generation: object, tmp_path: Path) -> None:
    """An index that came from elsewhere makes nobody read another folder."""
    Bm25Index.build(tmp_path / "index", TEXTS)
    Bm25Index.build(tmp_path / "other", TEXTS)
    manifest = json.loads((tmp_path / "index" / MANIFEST).read_text())
    (tmp_path / "index" / MANIFEST).write_text(json.dumps({**manifest, "generation": generation}))
    with pytest.raises(errors.IndexFolderError, match="no finished index"):
        Bm25Index(tmp_path / "index")


def test_search_command(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bundled: Reranker) -> None:
    """JSON has the scores of the library and each hit's way; the second time the corpus is not read again."""
    index = tmp_path / "index"
    for _ in range(2):
        document = json.loads(search(capsys, QUERY, file, "--index", index, "--json"))
        assert list(document) == ["schema_version", "query", "candidates", "hits", "timings"]
        best = document["hits"][0]
        assert (best["line"], best["text"], best["document"]) == (2, BEST, {"id": 1, "text": BEST})
        assert best["score"] == bundled.rank(QUERY, [BEST])[0].score
        assert best["moved"] == best["found_at"] - best["rank"]
        assert best["found_by"] == {"bm25": best["found_at"]}
    state = (index / MANIFEST).read_text()
    line = search(capsys, QUERY, file, "--index", index, "-k", 1).split("\t")
    assert (line[0], line[4], line[5]) == ("1", "2", BEST + "\n")
    assert (index / MANIFEST).read_text() == state
    with file.open("a") as more:
        more.write(json.dumps({"id": 9, "text": "Who created Python? Guido."}) + "\n")
    assert json.loads(search(capsys, "guido", file, "--index", index, "--json"))["candidates"] == 2


def test_search_on_a_terminal(file: Path) -> None:
    """A table with where each hit came from and how far it moved."""
    code, shown = Terminal("search", QUERY, file).end()
    assert code == 0, shown
    assert "found by" in shown
    assert "bm25 1" in shown
    assert "candidates, retrieve" in shown


def test_search_on_a_narrow_terminal(file: Path) -> None:
    """Where there is no room for it, who found a hit is left out; no line is wider than the terminal."""
    code, shown = Terminal("search", QUERY, file, columns=40, NO_COLOR="1").end()
    assert code == 0, shown
    assert "found by" not in shown
    assert max(map(len, shown.splitlines())) <= 40


def test_search_that_finds_nothing_says_what_to_do(file: Path) -> None:
    code, shown = Terminal("search", "zzyzx", file).end()
    assert code == 0, shown
    assert shown.startswith("Nothing was found: no passage has a word of the query.")


def test_interrupted_search_says_what_is_kept(tmp_path: Path) -> None:
    """Ctrl-C while the index is made; the same command goes on from there."""
    corpus = tmp_path / "corpus.txt"
    texts = [" ".join(f"w{n * k % 7919}" for k in range(150)) for n in range(997)]
    corpus.write_text("".join(f"{n} {texts[n % 997]}\n" for n in range(100_000)))
    terminal = Terminal("search", "w1", corpus, "--index", tmp_path / "index", columns=200)
    terminal.wait_for("passages |")
    terminal.press("\x03")
    code, shown = terminal.end()
    assert code == 130
    assert f"What was indexed is kept in {tmp_path / 'index'}; the same command goes on from there." in shown


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run(lambda: cli.main(["search", *map(str, arguments)], standalone_mode=False)) == 2
    return capsys.readouterr().err


def test_search_mistakes(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and the remedy: duplicate ids, no file, standard input, foreign folder, empty query."""
    twice = tmp_path / "twice.jsonl"
    twice.write_text('{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}\n{"id": 1, "text": "c"}\n')
    assert "lines 1 and 3 have the same id, 1. Ids must differ" in complaint(capsys, "a", twice)
    assert "no such file" in complaint(capsys, "a", tmp_path / "nowhere.txt")
    assert "search needs a file" in complaint(capsys, "a", "-")
    assert f"{tmp_path}: a folder" in complaint(capsys, "a", tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert "Give an empty folder" in complaint(capsys, "a", file, "--index", tmp_path / "full")
    assert "QUERY is empty" in complaint(capsys, "", file)


@pytest.fixture
def embedding_model(tmp_path: Path) -> Path:
    """A tiny sentence-transformers model in a folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    words = BoW(["python", "created", "paris", "tower", "snake", "java", "guido", "who"])
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "embedder"))
    return tmp_path / "embedder"


def test_hybrid_search(file: Path, embedding_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an embedding model hits say which of the two found them; the vectors are made once."""
    arguments = (QUERY, file, "--index", tmp_path / "index", "--embedding-model", embedding_model, "--json")
    document = json.loads(search(capsys, *arguments))
    assert set(document["hits"][0]["found_by"]) == {"bm25", "vectors"}
    assert document["hits"][0]["document"] == {"id": 1, "text": BEST}
    assert any("bm25" not in hit["found_by"] for hit in document["hits"])
    again = json.loads(search(capsys, *arguments))
    assert again["hits"] == document["hits"]
