"""What importing crossrank costs and loads, and that its drawing of itself is true."""

from importlib import import_module

import crossrank
from loaded import modules_after


def test_import_loads_no_extra() -> None:
    """`import crossrank` loads none of the heavy libraries, no HTTP library, and nothing of ours but itself."""
    loaded = modules_after("import crossrank")
    heavy = {
        "torch",
        "transformers",
        "httpx",
        "httpx2",
        "pydantic",
        "numpy",
        "tokenizers",
        "huggingface_hub",
        "requests",
        "langchain_core",
        "lancedb",
        "llama_index",
        "haystack",
        "bm25s",
    }
    assert not loaded & heavy
    assert {name for name in loaded if name.startswith("crossrank")} == {"crossrank"}


def test_ranking_with_the_bundled_model_loads_no_extra() -> None:
    """Ranking loads neither torch nor any HTTP library: it needs no network."""
    loaded = modules_after("import crossrank; crossrank.Reranker().rank('q', ['a'])")
    assert not loaded & {"torch", "transformers", "httpx", "httpx2", "pydantic", "huggingface_hub", "requests", "rich"}


def test_public_names() -> None:
    """Every public name resolves and is listed; an unknown one is an AttributeError."""
    for name in crossrank.__all__:
        assert getattr(crossrank, name) is not None
        assert name in dir(crossrank)
    assert not hasattr(crossrank, "Rerankr")


def test_testing_is_not_imported_by_the_package() -> None:
    """The fakes are for tests alone."""
    loaded = modules_after("import crossrank; crossrank.Reranker; import crossrank.cli.rank, crossrank.compat")
    assert "crossrank.testing" not in loaded
    assert import_module("crossrank.testing").tiny_checkpoint
