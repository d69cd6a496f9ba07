"""`crossrank bench` as it comes, without other libraries: models by their shape, with 20, 100 and 1,000 documents."""

from crossrank.bench.options import Options
from crossrank.bench.report import failures, result_of
from crossrank.bench.run import Bench
from crossrank.bench.subjects import Wanted, groups
from crossrank.bench.texts import built
from measured import Measured

CASE_S_MAX = 10.0


def measure() -> Measured:
    """A line a case."""
    bench = Bench(built(), Options(case_s_max=CASE_S_MAX))
    bench.run(groups(Wanted(peers=False)))
    result = result_of(bench, price_hour=None, threads=None)
    lines = [
        (
            f"{row['model']}, {row['weights']}, {row['precision']}: {row['documents']:,} documents",
            f"{row['p50_s'] * 1e3:,.0f} ms, 95 %: {row['p95_s'] * 1e3:,.0f} ms ({row['pairs_per_s']:,.0f} pairs/s)",
            f"cold start {row['cold_s']:.2f} s",
        )
        for row in result.rows
        if row["kind"] == "measured" and row["runs"]
    ]
    return Measured(
        [*lines, *((line, "", "") for line in failures(result))], result.rows, result.settings, result.notes
    )
