"""Which column is what in the three tables of a job, by what was said or by the names that are usual.

It knows names and kinds; not files or rows.
"""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from crossrank.errors import InputFileError, UsageError

IDS = ("_id", "id")
DOCUMENT_IDS = ("document_id", "doc_id", "docid", "pid", "corpus_id", "corpus-id")
QUERY_IDS = ("query_id", "qid", "query-id")
USUAL: Mapping[str, Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "queries": {"id": (*IDS, *QUERY_IDS), "text": ("text", "query"), "title": ("title",)},
        "candidates": {"query": QUERY_IDS, "document": DOCUMENT_IDS},
        "corpus": {"id": (*IDS, *DOCUMENT_IDS), "text": ("text", "content", "page_content"), "title": ("title",)},
    }
)
SURROGATE = re.compile("[\ud800-\udfff]")
OPTIONAL = ("title",)
TEXTS = ("text", "title")  # the others are ids: whole numbers are ids too
ROLES = tuple(f"{table}.{role}" for table, roles in USUAL.items() for role in roles)


def check_given(given: Mapping[str, str]) -> None:
    """Raise unless the names of what was said are roles, such as "corpus.text".

    Raises:
        UsageError: one is not.
    """
    if unknown := [role for role in given if role not in ROLES]:
        raise UsageError(f"columns: {', '.join(map(repr, unknown))} is no column's role; allowed: {', '.join(ROLES)}.")


def chosen(table: str, there: Mapping[str, str], given: Mapping[str, str], file: str) -> dict[str, str]:
    """The column of each role of a table.

    Args:
        table: "queries", "candidates" or "corpus".
        there: the kinds of the file's columns, by name; kind "any" where rows decide.
        given: columns by role, such as {"corpus.text": "body"}; the others are looked for by their usual names.
        file: for messages.

    Raises:
        InputFileError: a column is not there, or holds something else than ids or texts.
    """
    found: dict[str, str] = {}
    for role, usual in USUAL[table].items():
        said = given.get(f"{table}.{role}")
        names = [name for name in ((said,) if said else usual) if name in there]
        if names:
            _check_kind(f"{table}.{role}", names[0], there[names[0]], text=role in TEXTS, file=file)
            found[role] = names[0]
        elif said or role not in OPTIONAL:
            looked = repr(said) if said else f"any of {', '.join(usual)}"
            raise InputFileError(
                f"{file} has no column for {table}.{role}: it was looked for as {looked}; its columns are "
                f"{', '.join(there) or 'none'}. Say which it is: columns={{'{table}.{role}': ...}} "
                f"(--column {table}.{role}=NAME)."
            )
    return found


def check_columns(table: str, there: Mapping[str, str], roles: Mapping[str, str], file: str) -> None:
    """Raise unless a further file has the columns that the first one has.

    Raises:
        InputFileError: it lacks one, or holds something else there.
    """
    chosen(table, there, {f"{table}.{role}": name for role, name in roles.items()}, file)


def _check_kind(role: str, name: str, kind: str, *, text: bool, file: str) -> None:
    if kind in ("any", "string") or (kind == "integer" and not text):
        return
    wanted = "strings" if text else "strings or whole numbers"
    raise InputFileError(f"{file}: the column {name!r} ({role}) is of {kind}; it must be of {wanted}.")


def id_of(value: object) -> str | None:
    """An id as text: strings of valid Unicode and whole numbers; anything else, and the empty string, is none."""
    if isinstance(value, str):
        return value if value and (value.isascii() or not SURROGATE.search(value)) else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None
