"""The benchmark itself, in miniature: it runs, what it measures adds up, and its report says so."""

import os
from pathlib import Path

import pytest

from tests.bench import gateway, report


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the benchmark needs Linux")
def test_a_run_measures_every_variant_and_reports_it() -> None:
    names = ["direct", "aiohttp", "gateway"]
    results = gateway.run(names, rounds=1, warm_up=0.05, seconds=0.2)
    assert list(results.cells) == names
    for name, scenarios in results.cells.items():
        assert list(scenarios) == [scenario.name for scenario in gateway.SCENARIOS]
        plain, paced = scenarios["plain-1"][0], scenarios["first-chunk"][0]
        assert plain.per_second > 10 and 0 < plain.p50 <= plain.p99
        # 50 chunks a millisecond or more apart, the first of them long before the last
        assert paced.p50 > 49 and paced.p50 / 2 > paced.first_byte > 0, name
    assert results.cells["direct"]["plain-16"][0].per_second > results.cells["gateway"]["plain-16"][0].per_second
    assert 0.05 < results.cold_starts["gateway"][0] < 60
    assert 20 < results.memory["gateway"][0] < 200
    text = report.tables(gateway.summary(results), rounds=1, seconds=0.2)
    assert text.count("| gateway |") == 6 and "nan" not in text


def test_the_report_goes_between_the_markers(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_between_markers(readme, "new")
    assert readme.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    readme.write_text("nothing")
    with pytest.raises(ValueError, match="bench:start"):
        report.write_between_markers(readme, "new")
