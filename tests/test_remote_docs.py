"""docs/remote.md is true: its examples run, its table has every vendor, and each row works against a server."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crossrank.remote import RemoteReranker
from crossrank.remote.breaker import FAILURES_MAX, OPEN_S
from crossrank.remote.client import ANSWER_BYTES
from crossrank.remote.costs import AS_OF, PRICES, SOURCE
from crossrank.remote.ranker import TIMEOUT_S
from crossrank.remote.retry import Retry
from crossrank.remote.vendors import VENDORS
from crossrank.testing import FakeVendor

TEXT = (Path(__file__).resolve().parent.parent / "docs" / "remote.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| `.*\|$", TEXT, re.MULTILINE)]
SPECS = {row[0].strip("`"): row for row in ROWS if row[0].strip("`").partition(":")[0] in VENDORS}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVendor]:
    with FakeVendor("cohere", key="k") as server:
        monkeypatch.setenv("COHERE_API_KEY", "k")
        monkeypatch.setenv("CO_API_URL", server.url)
        yield server


def test_the_examples_run(server: FakeVendor, capsys: pytest.CaptureFixture[str]) -> None:
    """In order, in one session."""
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for block in blocks:
        exec(compile(block, "docs/remote.md", "exec"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(blocks) == 4
    assert lines[0] == "Guido van Rossum did. 1"
    assert lines[-2:] == ["['rerank-v4.0-pro', 'rerank-v4.0-pro', 'crossrank-mini'] None", "2 0.0025"]
    assert [len(call.documents) for call in server.calls] == [2, 2, 2, 2]


def test_the_table_has_every_vendor_and_its_keys() -> None:
    """In the order in which they are looked for."""
    assert {spec.partition(":")[0] for spec in SPECS} == set(VENDORS)
    for spec, row in SPECS.items():
        vendor = VENDORS[spec.partition(":")[0]]
        assert tuple(re.findall(r"`([A-Z_]+)`", row[1])) == vendor.key_variables, spec
        if vendor.limits.documents_max is not None:
            assert f"{vendor.limits.documents_max:,} documents" in row[2], spec
        assert vendor.url_variable is None or vendor.url_variable in row[3], spec


@pytest.mark.parametrize("spec", SPECS)
def test_each_row_works(spec: str) -> None:
    """Sync and async, against a server of its dialect."""

    async def asked(url: str) -> list[int]:
        async with RemoteReranker(spec, base_url=url, api_key="k") as reranker:
            return (await reranker.arank("ab", ["c", "a", "ab"])).indices

    with FakeVendor(spec.partition(":")[0], key="k") as server:
        with RemoteReranker(spec, base_url=server.url, api_key="k") as reranker:
            assert reranker.rank("ab", ["c", "a", "ab"]).indices == [2, 1, 0]
        assert asyncio.run(asked(server.url)) == [2, 1, 0]


def test_numbers_are_those_of_the_code() -> None:
    """Those that the page states."""
    text = " ".join(TEXT.split())
    assert f"after `timeout_s` ({TIMEOUT_S:.0f})" in text
    assert Retry().retries == 2
    assert f"After {FAILURES_MAX} failures in a row** nothing is sent for {OPEN_S:.0f} seconds" in text
    assert ANSWER_BYTES == 4 * 1024 * 1024
    assert AS_OF in text
    assert SOURCE.removeprefix("the price map of ") in text
    for prices in PRICES.values():
        for price in prices.values():
            assert f"${price.search_units_1k or price.tokens_1m:.2f}" in text
