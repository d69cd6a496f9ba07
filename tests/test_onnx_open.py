"""Where a model is stored as ONNX, `Reranker` opens that, and "auto" finds the way; nothing else needs ONNX Runtime."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from crossrank import Reranker, errors
from crossrank.checkpoint.profile import read_profile
from crossrank.cli.main import cli, run
from crossrank.engine.choose import choose
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.export.onnx import export_onnx
from fakes import BOUND_S
from hub import Hub, Machine
from parity import PAIRS, TOLERANCE

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def exported(checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT as ONNX, which tests must not change."""
    out = tmp_path_factory.mktemp("onnx") / "model"
    export_onnx(str(checkpoint("bert")), out)
    return out


def logits(folder: Path, **options: object) -> np.ndarray:
    with Reranker(str(folder), long_documents="truncate", cache=None, **options) as reranker:
        return reranker.score(PAIRS, raw=True)


def test_a_folder_of_onnx_opens_by_itself(exported: Path, checkpoint: Callable[..., Path]) -> None:
    """No safetensors: ONNX Runtime, the same scores."""
    with Reranker(str(exported)) as reranker:
        assert "onnx/model.onnx" in repr(reranker)
    expected = logits(checkpoint("bert"), backend="native", precision="fp32")
    np.testing.assert_allclose(logits(exported), expected, atol=TOLERANCE, rtol=0)


def test_a_folder_of_both_is_opened_as_before(exported: Path, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """Safetensors first; backend="onnx" insists, and works in optimum's folder onnx/ as well."""
    both = Path(shutil.copytree(checkpoint("bert"), tmp_path / "both"))
    (both / "onnx").mkdir()
    shutil.copy(exported / "model.onnx", both / "onnx")
    with Reranker(str(both), device="cpu") as reranker:
        assert "native" in repr(reranker)
    with Reranker(str(both), backend="onnx") as reranker:
        assert "onnx/onnx/model.onnx" in repr(reranker)
    np.testing.assert_allclose(logits(both, backend="onnx"), logits(exported), atol=0)


def test_onnx_serves_where_torch_is_not_installed(
    checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A family that the native engine lacks, with both files: torch, or ONNX Runtime without it."""
    profile = read_profile(checkpoint("deberta-v2"), "tiny")
    assert choose(profile, "auto", "cpu", onnx=True) == "torch"
    there = {"onnxruntime": True, "torch": None}
    monkeypatch.setattr("crossrank.engine.choose.find_spec", there.get)
    assert choose(profile, "auto", "cpu", onnx=True) == "onnx"
    with pytest.raises(errors.MissingExtra, match="torch"):
        choose(profile, "auto", "cpu")
    there["onnxruntime"] = None
    for options in ({"weights": False, "onnx": True}, {"onnx": True}):
        with pytest.raises(errors.MissingExtra, match="torch" if "weights" not in options else r"crossrank\[onnx\]"):
            choose(profile, "auto", "cpu", **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"backend": "onnx", "device": "cuda"}, "this ONNX Runtime has .*CPUExecutionProvider"),
        ({"backend": "onnx", "precision": "int8"}, r"model\.onnx \(fp32\)"),
        ({"backend": "onnx", "compile": True}, "compiles by itself"),
        ({"device": "NoSuchExecutionProvider"}, "NoSuchExecutionProvider"),
        ({"device": "CPUExecutionProvider", "backend": "torch"}, "backend='onnx'"),
    ],
)
def test_what_cannot_be_had_is_refused_at_load(exported: Path, options: dict[str, object], says: str) -> None:
    """What was asked for, and what there is."""
    with pytest.raises(errors.UsageError, match=says):
        Reranker(str(exported), **options)


def test_an_execution_provider_by_its_name(exported: Path) -> None:
    """Any that this ONNX Runtime has."""
    with Reranker(str(exported), device="CPUExecutionProvider") as reranker:
        assert "onnx/model.onnx" in repr(reranker)


def test_old_weights_name_the_way_out(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A pickle is refused with the command that converts it."""
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "old", ignore=shutil.ignore_patterns("*.safetensors"))
    (Path(folder) / "pytorch_model.bin").touch()
    with pytest.raises(errors.CheckpointError, match="crossrank convert"):
        Reranker(str(folder))


def test_scores_of_another_file_are_not_mixed_up(exported: Path, tmp_path: Path) -> None:
    """In a shared cache, a model is its files, of ONNX as of others."""

    class Shared:
        def get_many(self, keys: object) -> dict[bytes, object]:
            return {}

        def put_many(self, entries: object) -> None:
            pass

    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    before = open_scorer(OpenConfig(str(folder), cache=Shared())).identity
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content + b"\x12\x01a")  # the producer's name, once more
    assert open_scorer(OpenConfig(str(folder), cache=Shared())).identity != before


def test_commands_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    """`crossrank export` and `crossrank convert` have their help."""
    for name in ("export", "convert"):
        assert run(lambda name=name: cli.main([name, "--help"], standalone_mode=False)) == 0
        assert "--force" in capsys.readouterr().out


def test_onnx_needs_no_torch(exported: Path) -> None:
    """Opening and scoring loads neither torch nor onnx."""
    script = (
        "import sys; from crossrank import Reranker; Reranker(sys.argv[1]).rank('a', ['b', 'c']);"
        "print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, str(exported)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=BOUND_S)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("layout", ["model.onnx", "onnx/model.onnx", "ranker_Q.onnx"])
def test_a_model_of_the_hub_that_is_stored_as_onnx_only(
    layout: str, exported: Path, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Its ONNX file is fetched, of several the one that exporters call the model; and it opens offline afterwards."""
    upload = Path(shutil.copytree(exported, tmp_path / "upload", ignore=shutil.ignore_patterns("*.onnx")))
    (upload / layout).parent.mkdir(exist_ok=True)
    shutil.copy(exported / "model.onnx", upload / layout)
    if "Q" not in layout:
        (upload / layout).with_name("model_fp16.onnx").write_bytes(b"large, and not for us")
    (upload / "pytorch_model.bin").write_bytes(b"not for us")
    with Hub() as hub:
        hub.add("owner/ranker", upload)
        machine = Machine(tmp_path / "home", hub.url)
        opened = machine.open("owner/ranker")
        fetched = set(hub.downloads())
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", layout} == fetched
    assert machine.open("owner/ranker") == opened
    expected = Reranker(str(checkpoint("bert")), precision="fp32").score(
        [("fox", "The quick brown fox"), ("fox", "Zebras jump")], raw=True
    )
    np.testing.assert_allclose(opened["logits"], expected, atol=TOLERANCE, rtol=0)


def test_backend_onnx_fetches_it_beside_safetensors(
    exported: Path, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Only where it is asked for: ONNX files are as large as the weights."""
    upload = Path(shutil.copytree(checkpoint("bert"), tmp_path / "upload"))
    (upload / "onnx").mkdir()
    shutil.copy(exported / "model.onnx", upload / "onnx")
    script = "import sys; from crossrank import Reranker; print(Reranker(sys.argv[1], backend=sys.argv[2]))"
    with Hub() as hub:
        hub.add("owner/ranker", upload)
        machine = Machine(tmp_path / "home", hub.url)
        assert "native" in machine.python(script, "owner/ranker", "native").stdout
        assert "onnx/model.onnx" not in hub.downloads()
        assert "onnx/onnx/model.onnx" in machine.python(script, "owner/ranker", "onnx").stdout
        assert "onnx/model.onnx" in hub.downloads()
