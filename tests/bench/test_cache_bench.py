"""The cache benchmark measures what it says: its index rows, on few vectors."""

from tests.bench.cache import index_rows
from tests.bench.cache_vectors import Questions


def test_paraphrases_are_near_what_they_paraphrase() -> None:
    questions = Questions(200, 96)
    known = next(questions.parts())
    cosines = (known * questions.paraphrases(known, (0.8, 0.9))).sum(axis=1)
    assert 0.79 < cosines.min() and cosines.max() < 0.91
    assert abs(float(known[0] @ known[1])) < 0.8


def test_rows_have_a_latency_and_a_recall() -> None:
    latency, recall = index_rows(500, 96, lookups=50)
    assert latency.measured.endswith("ms") and latency.met is None
    assert recall.met and recall.measured == "1.0000"
