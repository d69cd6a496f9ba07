"""Files of documents: what each format means, and that every mistake in one is told with its place."""

import io
import time
from pathlib import Path

import pytest

from crossrank.cli.documents import BYTES_MAX, FORMATS, read_documents
from crossrank.cli.main import cli, run
from crossrank.cli.printable import printable
from crossrank.errors import CrossrankError, DocumentError, InputFileError

DEEP = "[" * 100_000 + "]" * 100_000


def write(folder: Path, name: str, content: str | bytes) -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "one\n\n  \ntwo"),
        ("a.TXT", b"\xef\xbb\xbfone\r\n\r\n\r\ntwo\r\n"),
        ("a.jsonl", '"one"\n\n\n{"text": "two", "n": 1}\n'),
        ("a.ndjson", b'\xef\xbb\xbf{"text": "one"}\r\n\r\n\t\r\n"two"\r\n'),
    ],
)
def test_lines_keep_their_number(tmp_path: Path, name: str, content: str | bytes) -> None:
    """Blank lines are no documents, yet they count; a byte order mark and CRLF are no part of a text."""
    lines = read_documents(write(tmp_path, name, content))
    assert [(line.line, line.text) for line in lines] == [(1, "one"), (4, "two")]


def test_csv_rows_are_objects_that_know_where_they_start(tmp_path: Path) -> None:
    """Cells may hold commas, quotes and line breaks; blank lines are skipped; a row's line is its first."""
    source = write(tmp_path, "a.csv", b'\xef\xbb\xbfid,text\r\n1,"a, ""b""\r\nc"\r\n\r\n2,d\r\n')
    assert [(line.line, line.document) for line in read_documents(source)] == [
        (2, {"id": "1", "text": 'a, "b"\nc'}),
        (5, {"id": "2", "text": "d"}),
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b'\xef\xbb\xbfid;"text; long"\r\n1;"a, b;\r\nc"\r\n'),
        ("a.csv", b'\nid\t"text; long"\n1\t"a, b;\nc"\n'),
        ("a.TSV", b'id\t"text; long"\n1\t"a, b;\nc"\n'),
    ],
)
def test_csv_with_semicolons_or_tabs(tmp_path: Path, name: str, content: bytes) -> None:
    """Spreadsheets write semicolons where commas stand in numbers; the first line tells, in which commas come first."""
    [line] = read_documents(write(tmp_path, name, content), fields=["text; long"])
    assert line.document == {"id": "1", "text; long": "a, b;\nc"}


@pytest.mark.parametrize("first", ["text,a;b", "text", "text,a\tb"])
def test_commas_come_first(tmp_path: Path, first: str) -> None:
    """Where the first line has commas between cells, or one cell, nothing else separates."""
    row = "1,2" if first.startswith("text,") else "1;2"
    [line] = read_documents(write(tmp_path, "a.csv", f"{first}\n{row}\n"), fields=["text"])
    assert len(line.document) == len(row.split(","))


def test_a_file_that_memory_could_not_hold_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is refused by its size, standard input by what came of it; both say what to do."""
    large = tmp_path / "a.csv"
    with large.open("wb") as file:
        file.truncate(BYTES_MAX + 1)  # sparse: takes no disk
    with pytest.raises(InputFileError, match=r"512,000,001 bytes.*Split it"):
        read_documents(str(large))
    monkeypatch.setattr("crossrank.cli.documents.BYTES_MAX", 3)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"abcd")))
    with pytest.raises(InputFileError, match="standard input has more than 3 bytes"):
        read_documents("-")


def test_json_is_a_list_of_strings_and_objects(tmp_path: Path) -> None:
    """A .json file's documents are numbered by their place in the list."""
    source = write(tmp_path, "a.json", '[\n\n"one", {"content": "two"}]')
    assert [(line.line, line.text) for line in read_documents(source)] == [(1, "one"), (2, "two")]


def test_a_large_cell_is_a_document(tmp_path: Path) -> None:
    """The csv module's limit of 128 KiB a cell does not apply."""
    source = write(tmp_path, "a.csv", "text\n" + "x" * 200_000 + "\n")
    assert len(read_documents(source)[0].text) == 200_000


def test_fields_are_rendered_once_in_their_order(tmp_path: Path) -> None:
    """`fields` selects and orders what is read; the document itself stays whole."""
    source = write(tmp_path, "a.jsonl", '{"text": "b", "title": "a", "id": 1}\n')
    [line] = read_documents(source, fields=["title", "text"])
    assert line.text == "title: a\ntext: b"
    assert line.document == {"text": "b", "title": "a", "id": 1}


@pytest.mark.parametrize("file_format", FORMATS)
def test_format_overrides_the_name(tmp_path: Path, file_format: str) -> None:
    """`--format` says what a file is, whatever it is called."""
    content = {"txt": "a\n", "jsonl": '"a"\n', "json": '["a"]', "csv": "text\na\n"}[file_format]
    assert [line.text for line in read_documents(write(tmp_path, "a.log", content), file_format)] == ["a"]


@pytest.mark.parametrize(
    ("file_format", "content"), [(None, b"a\n\xc3\xa9\n"), ("jsonl", b'"a"\n{"text": "\xc3\xa9"}\n')]
)
def test_standard_input(monkeypatch: pytest.MonkeyPatch, file_format: str | None, content: bytes) -> None:
    """`-` is standard input as UTF-8, whatever its own encoding: a document a line, or of the given format."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
    assert [line.text for line in read_documents("-", file_format)] == ["a", "é"]


def test_standard_input_that_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be read from a closed standard input, and it is said so."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputFileError, match="standard input is closed"):
        read_documents("-")


MISTAKES = [
    ("a.jsonl", '{"text": "a"}\n\n{"text": \n', "line 3: broken JSON at column 10"),
    ("a.jsonl", '"a"\nnull\n', "line 2: a document is a string or an object, not null"),
    ("a.jsonl", '"a"\n["b"]\n', 'line 2: a document is a string or an object, not ["b"]'),
    ("a.jsonl", '{"text": "a", "n": NaN}\n', "line 1: NaN is no JSON value"),
    ("a.jsonl", '{"text": "a", "n": -1e999}\n', "line 1: the number -1e999 is too large"),
    ("a.jsonl", '{"n": ' + "1" * 5000 + "}\n", "line 1: Exceeds the limit"),
    ("a.jsonl", f'{{"text": "a", "n": {DEEP}}}\n', "line 1: JSON nested too deeply"),
    ("a.jsonl", '"a"\n"\\ud800"\n', "line 2: documents[1] holds a lone surrogate"),
    ("a.jsonl", '{"a": ' + "[" * 40 + "]" * 40 + "}", "line 1: documents[0] is nested deeper"),
    ("a.json", DEEP, "JSON nested too deeply"),
    ("a.json", '["a", null]', "item 2: a document is a string or an object, not null"),
    ("a.json", '{"a": "b"}', "holds one object; it must be a JSON list"),
    ("a.json", '"a"', 'holds one "a"; it must be a JSON list'),
    ("a.json", '"a"\n"b"\n', "line 2: broken JSON at column 1 (Extra data). For one JSON document a line"),
    ("a.json", "[1.5,\n}", "line 2: broken JSON at column 1"),
    ("a.csv", 'a,b\n\n"1\n",2\n1\n', "line 5: 1 cells, but the first line names 2 columns"),
    ("a.csv", "a,b\n1,2,3\n", "line 2: 3 cells, but the first line names 2 columns"),
    ("a.csv", 'a,b\n1,2\n1,"2\n\n', "line 3: broken CSV (unexpected end of data)"),
    ("a.csv", "a,a\n1,2\n", "line 1: two columns have the same name"),
    ("a.csv", "text\n", "holds no documents"),
    ("a.txt", b"a\nb\xe9c\n", "line 2: byte 0xe9 is not UTF-8"),
    ("a.txt", b"\xef\xbb\xbfa\n\n\xff\n", "line 3: byte 0xff is not UTF-8"),
    ("a.csv", "a;b\n1;2;3\n", "2 columns. Quote cells that hold semicolons"),
    ("a.csv", "id\ttext\n".encode("utf-16"), "iconv -f UTF-16 -t UTF-8 OLD > NEW."),
    ("a.txt", "", "holds no documents"),
    ("a.txt", " \n\t\r\n", "holds no documents"),
    ("a.json", "[]", "holds no documents"),
    ("a.xlsx", "a", ".xlsx does not tell the format"),
    ("notes", "a", "a name without an ending does not tell the format"),
]


@pytest.mark.parametrize(("name", "content", "told"), MISTAKES)
def test_mistakes_name_their_place(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    """What is wrong with a file is told with the file, the line or item, and what is allowed."""
    source = write(tmp_path, name, content)
    with pytest.raises(CrossrankError) as raised:
        read_documents(source)
    assert source in str(raised.value)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.txt", "no such file"),
        ("missing", "no such file"),
        ("", "is a folder"),
        ("a.txt/b.txt", "Not a directory"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, told: str) -> None:
    """A missing file, a folder and a path through a file are the caller's mistake."""
    write(tmp_path, "a.txt", "a")
    with pytest.raises(InputFileError, match=told):
        read_documents(str(tmp_path / name))


def test_a_missing_field_names_index_line_and_fields(tmp_path: Path) -> None:
    """The message has the document's index, its line, and the fields that it does have."""
    source = write(tmp_path, "a.jsonl", '{"title": "a"}\n\n{"text": "b", "id": 1}\n')
    told = r"line 3: documents\[1\] has no field 'title'; its fields are: 'text', 'id'"
    with pytest.raises(DocumentError, match=told):
        read_documents(source, fields=["title"])


@pytest.mark.parametrize(("name", "content", "told"), MISTAKES)
def test_mistakes_end_with_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | bytes, told: str
) -> None:
    """On the command line each of them is one line on stderr, nothing on stdout, and exit code 2."""
    source = write(tmp_path, name, content)
    assert run(lambda: cli.main(["rank", "query", source], standalone_mode=False)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("crossrank: ")
    assert err.count("\n") == 1
    assert told in err


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\r\nc\x00\x07\x7f\x85", "a b c"),
        ("\x1b[1;31mred\x1b[0m \x9b2Jclear", "red clear"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ \x1bPq#0\x1b\\dcs \x1bcreset", "link dcs reset"),
        ("\x1b]0;never ended", "0;never ended"),
        ("\u202eabc\u2069 \ud800", "abc "),
        ("[bold]kept[/bold] 👩‍👧 é", "[bold]kept[/bold] 👩‍👧 é"),
        (" plain  text ", "plain text"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Escape sequences, control characters and overrides of direction go; markup, emoji and letters stay."""
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["\x9d", "\x90a", "\x1b]", "\x1b[", "\x9b0", "\x1b]0;\x90"])
def test_no_text_takes_long_to_be_made_printable(text: str) -> None:
    """Beginnings of escape sequences without an end, by the hundred thousand."""
    started = time.thread_time()  # what else the machine does takes none of it
    printable(text * 200_000)
    assert time.thread_time() - started < 10  # it was minutes, by the square of the length
