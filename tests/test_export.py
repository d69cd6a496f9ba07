"""An exported model gives the scores of the model it was made from, whatever the batch, or is not written at all."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from checkpoints import foreign_checkpoint
from crossrank import Reranker, errors
from crossrank.backends.contract import Batch, Limits, Row
from crossrank.backends.onnx import open_onnx
from crossrank.checkpoint.profile import read_profile
from crossrank.checkpoint.prompts import PROMPTS
from crossrank.checkpoint.source import bundled_folder
from crossrank.cli.export import command
from crossrank.cli.main import run
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.export.folder import staged
from crossrank.export.onnx import export_onnx
from crossrank.export.parity import Parity, parity, probe_pairs, refuse_unlike
from crossrank.testing import FakeBackend
from parity import PAIRS, TOLERANCE, reference_logits
from unmeasured import unmeasured

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

# Each with a graph of its own: CamemBERT's is RoBERTa's, those of other decoders are parts of Qwen3's.
FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "modernbert", "deberta-v2", "qwen3")
FILES = {"config.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"}
Exports = Callable[[str], Path]


@pytest.fixture(scope="session")
def exported(checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Exports a family once; tests must not change the folder."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            out = tmp_path_factory.mktemp("onnx") / family
            export_onnx(str(checkpoint(family)), out)
            made[family] = out
        return made[family]

    return make


def onnx_logits(checkpoint: Path, exported: Path, pairs: list[tuple[str, str]] = PAIRS) -> np.ndarray:
    """Of pairs as crossrank tokenises them, from the exported file."""
    config = OpenConfig(str(checkpoint), device="cpu", precision="fp32", long_documents="truncate", cache=None)
    backend = open_onnx(read_profile(exported, "tiny"), exported)
    scorer = replace(open_scorer(config), backend=backend)
    given = [Pair(query, text) for query, text in pairs]
    results = scorer.score(given).results
    return np.array([results[pair].logit for pair in given])


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_equal_transformers(family: str, checkpoint: Callable[..., Path], exported: Exports) -> None:
    """Every query with every text: |difference| <= 1e-4; a whole model's folder, and the tokenizer's segments in it."""
    folder = exported(family)
    assert {file.name for file in folder.iterdir()} == FILES
    found = onnx_logits(checkpoint(family), folder)
    assert np.ptp(found) > 0.2
    np.testing.assert_allclose(found, reference_logits(checkpoint(family), PAIRS, 64), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_come_out_the_same_beside_others(family: str, exported: Exports) -> None:
    """Alone and among others of all lengths: |difference| <= 1e-5."""
    profile = read_profile(exported(family), "tiny")
    backend = open_onnx(profile, exported(family))
    rng = np.random.default_rng(0)
    rows = [
        Row(rng.integers(5, profile.vocabulary, n).astype(np.int32), np.zeros(n, np.int32))
        for n in rng.integers(1, 65, 60)
    ]
    together = backend.run(Batch.of(rows))
    alone = np.concatenate([backend.run(Batch.of([row])) for row in rows])
    np.testing.assert_allclose(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_plain_onnx_runtime_gives_the_same(family: str, checkpoint: Callable[..., Path], exported: Exports) -> None:
    """With transformers' tokenizer from the folder and a session, nothing of ours."""
    import onnxruntime
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported(family))
    session = onnxruntime.InferenceSession(str(exported(family) / "model.onnx"), providers=["CPUExecutionProvider"])
    queries, documents = zip(*PAIRS, strict=True)
    options = {"padding": True, "truncation": "only_second", "max_length": 64, "return_tensors": "np"}
    tokens = tokenizer(list(queries), list(documents), **options)
    found = session.run(["logits"], {entry.name: tokens[entry.name] for entry in session.get_inputs()})[0][:, 0]
    np.testing.assert_allclose(found, reference_logits(checkpoint(family), PAIRS, 64), atol=TOLERANCE, rtol=0)


def test_a_quantised_model_is_near_and_does_not_depend_on_its_batch(
    checkpoint: Callable[..., Path], exported: Exports, tmp_path: Path
) -> None:
    """One scale of all rows' activations would make each depend on its neighbours, to the tenth of a logit."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder = Path(shutil.copytree(exported("bert"), tmp_path / "model"))
    quantize_dynamic(folder / "model.onnx", folder / "model_quantized.onnx", weight_type=QuantType.QUInt8)
    exact = onnx_logits(checkpoint("bert"), folder)
    (folder / "model.onnx").unlink()
    profile = read_profile(folder, "tiny")
    backend = open_onnx(profile, folder)
    assert (backend.facts.precision, backend.facts.detail) == ("int8", "model_quantized.onnx")
    near = onnx_logits(checkpoint("bert"), folder)
    assert np.corrcoef(near, exact)[0, 1] > 0.97
    assert np.abs(near - exact).max() < 0.5 * exact.std()
    shuffled = np.random.default_rng(0).permutation(len(PAIRS))
    again = onnx_logits(checkpoint("bert"), folder, [PAIRS[i] for i in shuffled])
    np.testing.assert_array_equal(again, near[shuffled])


@pytest.mark.parametrize("name", ["distilbert", "albert"])
def test_families_of_transformers_alone_are_exported(
    name: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """With segments where the family has them."""
    folder = foreign_checkpoint(name, checkpoint("bert"), tmp_path / name)
    done = export_onnx(str(folder), tmp_path / "out")
    assert done.parity.largest <= TOLERANCE
    assert ("token_type_ids" in done.inputs) == (name == "albert")


@pytest.mark.parametrize(
    ("family", "options", "says"),
    [
        ("jina-bert", {}, "code comes with the checkpoint.*The torch engine runs it"),
        ("xlm-roberta-flash", {}, "code comes with the checkpoint.*The native and torch engines run it"),
    ],
)
def test_what_transformers_has_no_graph_of_is_refused(
    family: str, options: dict[str, str], says: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The reason, and what runs it; nothing is computed before."""
    with pytest.raises(errors.UnsupportedModelError, match=says):
        export_onnx(str(checkpoint(family, **options)), tmp_path / "out")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_chain_of_modules_is_exported(pooling: str, chain: Callable[..., Path], tmp_path: Path) -> None:
    """With its head behind it; the folder opens by itself, and needs no weights of the modules."""
    folder = chain("modernbert" if pooling == "cls" else "bert", pooling)
    done = export_onnx(str(folder), tmp_path / "out")
    assert done.parity.largest <= TOLERANCE
    options = {"device": "cpu", "long_documents": "truncate", "cache": None}
    with (
        Reranker(str(folder), precision="fp32", **options) as plain,
        Reranker(str(tmp_path / "out"), **options) as reranker,
    ):
        assert reranker.facts.backend == "onnx"
        np.testing.assert_allclose(reranker.score(PAIRS, raw=True), plain.score(PAIRS, raw=True), atol=TOLERANCE)


def test_a_model_that_is_asked_is_exported(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """With the answers' two rows behind it, where its chat template tells the prompt."""
    folder = Path(shutil.copytree(checkpoint("qwen3", template="qwen3-reranker", max_length=1024), tmp_path / "asked"))
    (folder / "chat_template.jinja").write_text(PROMPTS["qwen3-reranker"].marker)
    done = export_onnx(str(folder), tmp_path / "out")
    assert done.parity.largest <= TOLERANCE
    options = {"device": "cpu", "long_documents": "truncate", "cache": None}
    with Reranker(str(folder), **options) as plain, Reranker(str(tmp_path / "out"), **options) as reranker:
        assert reranker.facts.backend == "onnx"
        np.testing.assert_allclose(reranker.score(PAIRS, raw=True), plain.score(PAIRS, raw=True), atol=TOLERANCE)
        told = reranker.rank("fox", ["a dog"], instruction="Find code.")
        assert told[0].logit != reranker.rank("fox", ["a dog"])[0].logit


def test_weights_beside_the_file(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into one file goes beside it, and opens again."""
    monkeypatch.setattr("crossrank.export.graph.ONE_FILE", 100)
    done = export_onnx(str(checkpoint("electra")), tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {*FILES, "model.onnx.data"}
    assert done.parity.holds


def test_a_model_that_differs_is_not_written(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Above 1e-3, or not finite: an error with the difference, and nothing there. Below: a report."""
    scorer = open_scorer(OpenConfig(str(checkpoint("bert")), cache=None))

    def of(logit: float) -> Parity:
        fakes = [
            replace(scorer, backend=FakeBackend(lambda ids, n=n: len(ids) + n, Limits(999, 9))) for n in (0, logit)
        ]
        return parity(*fakes)

    assert of(0.0009).holds
    assert of(0.0).pairs == len(probe_pairs()) >= 40
    for logit in (0.0011, float("nan")):
        assert not of(logit).holds
        with pytest.raises(errors.CrossrankError, match="differ by up to"):
            write_unlike(tmp_path / "out", of(logit))
        assert list(tmp_path.iterdir()) == []


def write_unlike(out: Path, measured: Parity) -> None:
    with staged(out, needs=1) as stage:
        (stage / "model.onnx").write_bytes(b"much")
        refuse_unlike("tiny", measured)


def ending(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run(lambda: command.main([*map(str, arguments)], standalone_mode=False))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_the_command_reports_and_never_overwrites(
    checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a fact, or JSON; a folder that holds something is left alone unless --force says otherwise."""
    out = tmp_path / "not" / "yet"
    code, said, err = ending(capsys, checkpoint("bert"), "--onnx", out)
    assert (code, err) == (0, "")
    facts = dict(line.split("  ", 1) for line in said.splitlines())
    assert facts["opset"].strip() == "18"
    assert float(facts["largest difference"]) <= 1e-4
    (out / "mine.txt").write_text("kept")
    (out / "model.onnx").write_bytes(b"old")
    code, said, err = ending(capsys, checkpoint("bert"), "--onnx", out)
    assert (code, said) == (2, "")
    assert "--force" in err
    assert (out / "model.onnx").read_bytes() == b"old"
    code, said, err = ending(capsys, checkpoint("bert"), "--onnx", out, "--force", "--opset", "20", "--json")
    assert (code, json.loads(said)["opset"]) == (0, 20)
    assert {file.name for file in out.iterdir()} == {*FILES, "mine.txt"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--opset", "99"], "--opset 99: the exporter"),
        (["--opset", "5"], "--opset 5: the exporter"),
        (["--opset", "0"], "--opset"),
    ],
)
def test_versions_that_there_are_not(
    checkpoint: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    """A version that the exporter cannot write is an error, not another version."""
    code, said, err = ending(capsys, checkpoint("bert"), "--onnx", tmp_path / "out", *arguments)
    assert (code, said) == (2, "")
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file in the way, a model that is not there: the caller's mistakes, said before anything is computed."""
    (tmp_path / "file").write_text("")
    for arguments in ((bundled_folder(), "--onnx", tmp_path / "file"), (tmp_path / "none", "--onnx", tmp_path / "out")):
        code, said, _ = ending(capsys, *arguments)
        assert (code, said) == (2, "")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


LIMITED = """
import resource, sys
from crossrank.cli.export import command
from crossrank.cli.main import run
sys.dont_write_bytecode = True  # it would be cut off, and kept for everybody who imports the same
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
sys.exit(run(lambda: command.main(sys.argv[1:], standalone_mode=False)))
"""
WRITING = """
import sys, time
from pathlib import Path
import torch
from crossrank.cli.export import command
from crossrank.cli.main import run

def written_slowly(model, args, file, **options):
    Path(file).write_bytes(b"much")
    time.sleep(240)

torch.onnx.export = written_slowly
sys.exit(run(lambda: command.main(sys.argv[1:], standalone_mode=False)))
"""


def test_a_disk_that_takes_no_more(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Exit code 1, one line that says so, and nothing there."""
    arguments = [str(checkpoint("bert")), "--onnx", str(tmp_path / "out")]
    command = [sys.executable, "-c", LIMITED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=unmeasured())
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not be written: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """While a file is written: at that moment, and not as a library's own callback runs, which Python lets go on."""
    arguments = [str(checkpoint("bert")), "--onnx", str(tmp_path / "out")]
    command_line = [sys.executable, "-c", WRITING, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command_line, text=True, env=unmeasured(), **pipes) as process:
        try:
            ends = time.monotonic() + 180
            while not any(file.stat().st_size for file in tmp_path.rglob("model.onnx")) and process.poll() is None:
                assert time.monotonic() < ends
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "crossrank: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mkdir", "rename"])
def test_ctrl_c_at_any_moment_of_a_folder_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as there is something to leave, and until it stands where it belongs."""
    plain, places = getattr(Path, name), []

    def interrupted(self: Path, *given: Any, **options: Any) -> Any:
        if name == "mkdir":
            plain(self, *given, **options)
        places.append(list(tmp_path.iterdir()))
        raise KeyboardInterrupt

    def write() -> None:
        with staged(tmp_path / "out", needs=1) as stage:
            (stage / "model.onnx").write_bytes(b"much")

    with monkeypatch.context() as patched:
        patched.setattr(Path, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert len(places) == len(places[0]) == 1
    assert list(tmp_path.iterdir()) == []
