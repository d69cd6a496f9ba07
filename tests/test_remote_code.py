"""Models whose modelling code comes with their checkpoints: it is never run, and they are opened on demand only."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossrank import CrossEncoder, Reranker, errors
from crossrank.checkpoint.architecture import REFUSED
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import read_profile
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from parity import PAIRS, TOLERANCE, reference_logits
from references import as_plain_xlm_roberta, jina_bert, minicpm_layerwise

LAYERWISE = "bge-reranker-layerwise"
REMOTE = {name: family for name, family in FAMILIES.items() if family.remote_code}


def options(**more: Any) -> dict[str, Any]:
    given = {"allow_unverified": True, "precision": "fp32", "long_documents": "truncate", "cache": None, **more}
    return {"device": "cpu", **given}


def rows_of(folder: Path, pairs: list[tuple[str, str]], **more: Any) -> list[list[int]]:
    """The ids of each pair."""
    config = OpenConfig(str(folder), device="cpu", long_documents="truncate", allow_unverified=True, **more)
    encoded = open_scorer(config).encoder.encode([Pair(*pair) for pair in pairs], {})
    return [item.rows[0].ids.tolist() for item in encoded]


def made(checkpoint: Callable[..., Path], name: str, **more: Any) -> Path:
    """A tiny checkpoint of a family whose code would come with it."""
    template = {"template": LAYERWISE, "max_length": 512} if FAMILIES[name].exits else {}
    return checkpoint(name, **template, **more)


@pytest.mark.parametrize(("hidden", "heads", "kind"), [(24, 2, "geglu"), (48, 12, "geglu"), (40, 5, "reglu")])
def test_jina_bert_equals_the_public_reference(
    hidden: int, heads: int, kind: str, checkpoint: Callable[..., Path]
) -> None:
    """Linear biases of any number of heads, both gates; in one batch, in small ones, alone: <= 1e-4."""
    folder = checkpoint("jina-bert", hidden=hidden, heads=heads, config={"feed_forward_type": kind})
    expected = [jina_bert(folder, ids) for ids in rows_of(folder, PAIRS)]
    assert np.ptp(expected) > 0.5
    for batch_tokens in (1, 200, None):
        with Reranker(str(folder), **options(batch_tokens=batch_tokens)) as reranker:
            np.testing.assert_allclose(reranker.score(PAIRS, raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("backend", ["native", "torch"])
def test_xlm_roberta_in_other_names_equals_transformers(
    backend: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """The public conversion, backwards, gives transformers a model with the same logits."""
    folder = checkpoint("xlm-roberta-flash")
    expected = reference_logits(as_plain_xlm_roberta(folder, tmp_path / "plain"), PAIRS, 64)
    assert np.ptp(expected) > 0.5
    with Reranker(str(folder), **options(backend=backend)) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS, raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("layer", [None, 2, 3])
def test_minicpm_equals_the_public_reference(layer: int | None, checkpoint: Callable[..., Path]) -> None:
    """After each layer that has a head, with the three scales: <= 1e-4."""
    folder = made(checkpoint, "minicpm-layerwise", layers=4, heads=3, config={"start_layer": 2})
    expected = [minicpm_layerwise(folder, ids, layer or 4) for ids in rows_of(folder, PAIRS, template=LAYERWISE)]
    assert np.ptp(expected) > 0.5
    with Reranker(str(folder), template=LAYERWISE, layer=layer, **options()) as reranker:
        np.testing.assert_allclose(reranker.score(PAIRS, raw=True), expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("layer", [0, 1, 5, True, 2.5])
def test_layers_without_a_head_are_refused(layer: Any, checkpoint: Callable[..., Path]) -> None:
    """The message names those that have one; a model without early exits takes no layer at all."""
    folder = made(checkpoint, "minicpm-layerwise", layers=4, heads=3, config={"start_layer": 2})
    with pytest.raises(errors.UsageError, match=r"layer=.*can stop after the layers 2 to 4"):
        Reranker(str(folder), template=LAYERWISE, layer=layer, **options())
    with pytest.raises(errors.UsageError, match=r"has no early exits"):
        Reranker(str(checkpoint("bert")), layer=2)
    with pytest.raises(errors.UsageError, match=r"has no early exits"):
        Reranker(layer=2)


def test_scores_of_different_layers_are_cached_apart(checkpoint: Callable[..., Path]) -> None:
    """A shared cache knows after which layer a score was taken."""
    from crossrank.engine.cache import MemoryCache

    folder = made(checkpoint, "minicpm-layerwise", layers=4, heads=3, config={"start_layer": 2})
    cache = MemoryCache()
    found = []
    for layer in (2, 4):
        with Reranker(str(folder), template=LAYERWISE, layer=layer, **options(cache=cache)) as reranker:
            found.append(reranker.rank("fox", ["a dog"]))
            assert found[-1].usage["cached"] == 0
    assert found[0][0].logit != found[1][0].logit


@pytest.mark.parametrize("name", REMOTE)
def test_they_are_opened_on_demand_only(name: str, checkpoint: Callable[..., Path]) -> None:
    """The message says why, and names the option and the flag; the profile can be read all the same."""
    folder = made(checkpoint, name)
    template = LAYERWISE if FAMILIES[name].exits else None
    assert read_profile(folder, "some/model", template=template).family.name == name
    with pytest.raises(errors.UnsupportedModelError) as caught:
        Reranker(str(folder), template=template)
    for words in ("is not verified", "auto_map", "never run", "allow_unverified=True", "--allow-unverified"):
        assert words in str(caught.value)


def test_a_graph_needs_no_demand(checkpoint: Callable[..., Path]) -> None:
    """An ONNX file computes what its authors' code did; nothing of ours stands in for it."""
    pytest.importorskip("onnxruntime")
    with pytest.raises(errors.CheckpointError, match="has no ONNX file"):
        Reranker(str(checkpoint("jina-bert")), backend="onnx")
    folder = made(checkpoint, "minicpm-layerwise")
    with pytest.raises(errors.UsageError, match="an ONNX file computes all its layers"):
        Reranker(str(folder), template=LAYERWISE, layer=2, backend="onnx")


def test_the_drop_in_opens_them_too(checkpoint: Callable[..., Path]) -> None:
    """On the same demand."""
    folder = str(checkpoint("jina-bert"))
    with pytest.raises(errors.UnsupportedModelError, match="allow_unverified=True"):
        CrossEncoder(folder)
    ours = CrossEncoder(folder, allow_unverified=True, device="cpu").predict(PAIRS[:3])
    with Reranker(folder, **options()) as reranker:
        np.testing.assert_allclose(ours, reranker.score(PAIRS[:3]), atol=1e-5)


def test_what_was_verified_needs_no_demand(checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Real weights that gave the reference's scores, as golden.json tells by the model's name."""
    from crossrank.checkpoint import catalogue

    folder = checkpoint("jina-bert")
    known = {"jinaai/jina-reranker-v1-tiny-en": catalogue.Golden("abc", "2026-11-21", (0.0,) * 4)}
    monkeypatch.setattr(catalogue, "read_golden", lambda: known)
    assert read_profile(folder, "jinaai/jina-reranker-v1-tiny-en").unverified == ""
    assert read_profile(folder, "another/model").unverified


def test_a_plain_name_over_remote_code_is_doubted(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A BERT whose class comes with the checkpoint may be no BERT; one whose configuration alone does is."""
    folder = Path(shutil.copytree(checkpoint("bert"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    for mapped, doubted in (
        ({"AutoModelForSequenceClassification": "modeling_x.BertForSequenceClassification"}, True),
        ({"AutoConfig": "configuration_x.XConfig", "AutoTokenizer": ["tokenization_x.XTokenizer", None]}, False),
    ):
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": mapped}))
        if doubted:
            with pytest.raises(errors.UnsupportedModelError, match=r"may be something else.*allow_unverified"):
                Reranker(str(folder))
        with Reranker(str(folder), **options()) as reranker:
            assert reranker.score([("a", "b")]).shape == (1,)


@pytest.mark.parametrize(
    ("name", "entries", "says"),
    [
        ("jina-bert", {"position_embedding_type": "absolute"}, "'absolute' positions"),
        ("jina-bert", {"feed_forward_type": "original"}, "'original'; known are geglu, reglu"),
        ("jina-bert", {"architectures": ["JinaBertModel"]}, "JinaBertModel, which has no reranking head"),
        ("xlm-roberta-flash", {"position_embedding_type": "rotary"}, "'rotary' positions"),
        ("minicpm-layerwise", {"head_type": "raw"}, "heads of the kind 'raw'"),
        ("minicpm-layerwise", {"head_multi": False}, "one for all layers"),
        ("minicpm-layerwise", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic'"),
    ],
)
def test_settings_that_are_not_known_are_refused(
    name: str, entries: dict[str, Any], says: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Whatever would change the scores is named."""
    folder = Path(shutil.copytree(made(checkpoint, name), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))
    with pytest.raises(errors.UnsupportedModelError, match=says):
        Reranker(str(folder), template=LAYERWISE if FAMILIES[name].exits else None, **options())


@pytest.mark.parametrize("architecture", REFUSED)
def test_rerankers_that_cannot_be_run_say_why(
    architecture: str, checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    """Listwise ones, those that see pictures: the reason, and who serves them."""
    folder = Path(shutil.copytree(checkpoint("qwen3"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    mapped = {"AutoModel": f"modeling.{architecture}"}
    (folder / "config.json").write_text(json.dumps(config | {"architectures": [architecture], "auto_map": mapped}))
    with pytest.raises(errors.UnsupportedModelError, match=rf"is a {architecture}, which ") as caught:
        Reranker(str(folder), allow_unverified=True)
    if architecture == "JinaForRanking":
        assert "Reranker('jina:jina-reranker-v3')" in str(caught.value)
        assert "listwise" in str(caught.value)


@pytest.mark.parametrize("command", ["rank", "doctor", "eval"])
def test_the_command_line_has_a_flag(
    command: str, checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it the message names it; with it the model is opened."""
    from importlib import import_module

    from crossrank.cli.main import run

    (tmp_path / "docs.txt").write_text("a fox\na dog\n")
    (tmp_path / "set" / "qrels").mkdir(parents=True)
    lines = "".join(json.dumps({"_id": f"d{i}", "text": text}) + "\n" for i, text in enumerate(("a fox", "a dog")))
    (tmp_path / "set" / "corpus.jsonl").write_text(lines)
    (tmp_path / "set" / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "fox"}) + "\n")
    (tmp_path / "set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td0\t1\nq\td1\t0\n")
    folder = str(checkpoint("jina-bert"))
    arguments = {
        "rank": ["fox", str(tmp_path / "docs.txt"), "--model", folder],
        "doctor": [folder],
        "eval": [str(tmp_path / "set"), "--model", folder],
    }[command]
    main = import_module(f"crossrank.cli.{command}").command.main
    assert run(lambda: main(arguments, standalone_mode=False)) == 2
    assert "--allow-unverified" in capsys.readouterr().err
    assert run(lambda: main([*arguments, "--allow-unverified"], standalone_mode=False)) == 0
