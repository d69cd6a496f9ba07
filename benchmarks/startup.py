"""What it costs to begin: `import crossrank`, and `crossrank rank` on 20 sentences from process start to exit."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 15
CITIES = ["Aachen", "Bern", "Cork", "Delft", "Essen", "Faro", "Genoa", "Hull", "Jena", "Kiel"]
CITIES += ["Lyon", "Metz", "Nice", "Oslo", "Pisa", "Riga", "Split", "Turin", "Ulm", "Varna"]
SENTENCES = [f"Sentence {i} tells that {city} is a city with a long history." for i, city in enumerate(CITIES)]


def measure() -> list[tuple[str, str, str]]:
    """Rows of (what, median, target)."""
    baseline = _median([sys.executable, "-c", "pass"])
    imported = _median([sys.executable, "-c", "import crossrank"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sentences.txt"
        file.write_text("\n".join(SENTENCES))
        command = [str(Path(sys.executable).parent / "crossrank"), "rank", "Which city is in Norway?", str(file)]
        ranked = _median(command)
    return [
        ("`import crossrank`, over an empty Python", f"{(imported - baseline) * 1e3:.0f} ms", "<= 150 ms"),
        ("`crossrank rank` on 20 sentences, process start to exit", f"{ranked:.2f} s", "<= 0.7 s"),
    ]


def _median(command: list[str]) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
