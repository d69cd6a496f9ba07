"""A comparison of two models as a person reads it: how far they agree, what each takes, and where they differ most."""

from crossrank.cli.facts import print_columns, say
from crossrank.cli.printable import printable
from crossrank.collection import Collection
from crossrank.evaluate.result import SIGNIFICANT, Speed
from crossrank.evaluate.side_by_side import Difference, Quality, SideBySide

HEADINGS = ("", "ms a query (median)", "95 %", "documents a query", "dollars (estimate)")
PREVIEW = 90  # characters of a document


def print_comparison(found: SideBySide, collection: Collection, origin: str, examples: int) -> None:
    """Agreement, speed and cost, quality, examples, notes."""
    one, other = map(printable, found.names)
    count = len(found.differences)
    say(f"A  {one}\nB  {other}\n")
    say(f"Over {count:,} quer{'y' if count == 1 else 'ies'} (candidates: {origin}), the mean:")
    say(f"  {found.tau:6.3f}  Kendall's tau of the two orders")
    say(f"  {found.overlap:6.1%}  the same in the first {found.top_k}")
    say(f"  {found.same_first:6.1%}  the same document first\n")
    paid = 5 if any(speed.cost_usd is not None for speed in found.speeds) else 4
    rows = [_speed(name, speed)[:paid] for name, speed in zip("AB", found.speeds, strict=True)]
    print_columns(HEADINGS[:paid], rows, expendable=("documents a query",))
    for quality in found.qualities:
        say(f"\n{_quality(quality, found.judged)}")
    shown = [one for one in found.differences if one.overlap < 1 or one.tau < 1][:examples]
    if shown:
        say("\nWhere they differ most:")
    for difference in shown:
        _print_example(difference, collection, found.top_k)
    for note in found.notes:
        say(note)


def _speed(name: str, speed: Speed) -> tuple[str, ...]:
    cost = "0" if speed.cost_usd is None else f"{speed.cost_usd:.4f}"
    return (name, f"{speed.p50_ms:,.1f}", f"{speed.p95_ms:,.1f}", f"{speed.documents:,.0f}", cost)


def _quality(quality: Quality, judged: int) -> str:
    comparison = quality.comparison
    significant = comparison.p_corrected < SIGNIFICANT
    better = "B is better" if comparison.difference > 0 else "A is better"
    verdict = f"{better}, significantly" if significant else "no significant difference"
    return (
        f"{quality.measure} over {judged:,} judged queries: A {quality.means[0]:.3f}, B {quality.means[1]:.3f}; "
        f"B less A {comparison.difference:+.3f} (95 % interval {comparison.interval.low:+.3f} to "
        f"{comparison.interval.high:+.3f}, p = {comparison.p_corrected:.3f}): {verdict}."
    )


def _print_example(difference: Difference, collection: Collection, top_k: int) -> None:
    say(f"\n  {printable(collection.queries[difference.query])}")
    say(f"    tau {difference.tau:.2f}, {difference.overlap:.0%} of the first {top_k} in common")
    if difference.firsts[0] != difference.firsts[1]:
        for name, document in zip("AB", difference.firsts, strict=True):
            say(f"    first by {name}: {_preview(collection, document)}")
    one, other = difference.ranks
    if one != other:
        say(f"    {one} by A, {other} by B: {_preview(collection, difference.mover)}")


def _preview(collection: Collection, document: str) -> str:
    text = printable(collection.corpus[document])
    return text if len(text) <= PREVIEW else text[: PREVIEW - 1] + "…"
