"""Models that are known, with the facts people choose by; names outside this table load just as well.

It holds data only. Facts are from each model's card on the hub, read in 2026-11; of jina, monoT5, RankT5, monoELECTRA
and layerwise MiniCPM from their papers and public code, as no hub could be reached then. golden.json holds what the
reference implementations gave for the self-test's probes, for the models whose weights were had:
`make verify-models` writes it.
"""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from crossrank.checkpoint.families import FAMILIES

GOLDEN = Path(__file__).with_name("golden.json")
LISTED = {
    "14 languages": ["ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "nl", "pt", "ru", "vi", "zh"]
}  # those of mMARCO
QWEN3, MXBAI, MONOT5, RANKT5 = "qwen3-reranker", "mxbai-rerank-v2", "monot5", "rankt5"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A published checkpoint: parameters in millions, tokens of context, languages as the card names them.

    `template` is the prompt that it was trained with, where its files do not tell.
    """

    name: str
    family: str
    parameters_m: float
    licence: str
    languages: str
    max_length: int
    template: str | None = None

    @property
    def language_codes(self) -> frozenset[str]:
        """The languages it is meant for, as ISO 639-1 codes; empty where its card lists none or too many."""
        listed = LISTED.get(self.languages, self.languages.split(", "))
        return frozenset(listed) if all(len(code) == 2 for code in listed) else frozenset()

    @property
    def commercial(self) -> bool | None:
        """Whether its licence allows commercial use; None where none is stated."""
        return None if self.licence == "not stated" else "-nc-" not in self.licence

    @property
    def engines(self) -> str:
        """Which engines run it, for tables."""
        return "native, torch" if FAMILIES[self.family].native else "torch"

    @property
    def on_demand(self) -> bool:
        """Whether it is opened with `allow_unverified` only."""
        return bool(FAMILIES[self.family].remote_code) and golden(self.name) is None


@dataclass(frozen=True, slots=True)
class Golden:
    """What a model gave when it was verified: its revision on the hub, the date, and the probes' logits in fp32."""

    revision: str
    date: str
    logits: tuple[float, ...]


def golden(name: str) -> Golden | None:
    """What was verified of a model; None where nothing was yet."""
    return read_golden().get(name)


@cache
def read_golden() -> dict[str, Golden]:
    """All that was verified, by name."""
    stored = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return {name: Golden(one["revision"], one["date"], tuple(one["logits"])) for name, one in stored.items()}


def suggestion(spec: str) -> str:
    """A sentence that names close matches among the known models, or where to see them."""
    known = {model.name.lower(): model.name for model in KNOWN}
    known |= {name.split("/")[-1]: full for name, full in list(known.items())}
    close = get_close_matches(spec.lower(), known, n=3, cutoff=0.6)
    if close:
        return "Did you mean " + " or ".join(dict.fromkeys(repr(known[name]) for name in close)) + "?"
    return "`crossrank models list` shows models that are known to work."


def known_languages(name: str) -> frozenset[str] | None:
    """The languages of a model that is known by name, empty where they are many; None for all others."""
    return next((known.language_codes for known in KNOWN if known.name == name), None)


def known_template(name: str) -> str | None:
    """The prompt of a model that is known by name; None for all others."""
    return next((known.template for known in CATALOGUE if known.name == name), None)


MINI = KnownModel("crossrank-mini", "bert", 22.7, "apache-2.0", "en", 256)  # it comes with the package

CATALOGUE = (
    KnownModel("cross-encoder/ms-marco-TinyBERT-L2-v2", "bert", 4.4, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-MiniLM-L2-v2", "bert", 15.6, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-MiniLM-L4-v2", "bert", 19.2, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-MiniLM-L6-v2", "bert", 22.7, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-MiniLM-L12-v2", "bert", 33.4, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-TinyBERT-L6", "bert", 67.0, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ms-marco-electra-base", "electra", 109.5, "apache-2.0", "en", 512),
    KnownModel("crystina-z/monoELECTRA_LCE_nneg31", "electra", 109.5, "not stated", "en", 512),
    KnownModel("cross-encoder/mmarco-mMiniLMv2-L12-H384-v1", "xlm-roberta", 117.6, "apache-2.0", "14 languages", 512),
    KnownModel("cross-encoder/stsb-roberta-base", "roberta", 124.6, "apache-2.0", "en", 512),
    KnownModel("cross-encoder/ettin-reranker-17m-v1", "modernbert", 17.0, "apache-2.0", "en", 8192),
    KnownModel("cross-encoder/ettin-reranker-32m-v1", "modernbert", 32.0, "apache-2.0", "en", 8192),
    KnownModel("cross-encoder/ettin-reranker-68m-v1", "modernbert", 68.0, "apache-2.0", "en", 8192),
    KnownModel("cross-encoder/ettin-reranker-150m-v1", "modernbert", 150.0, "apache-2.0", "en", 8192),
    KnownModel("cross-encoder/ettin-reranker-400m-v1", "modernbert", 400.0, "apache-2.0", "en", 8192),
    KnownModel("cross-encoder/ettin-reranker-1b-v1", "modernbert", 1000.0, "apache-2.0", "en", 8192),
    KnownModel("Alibaba-NLP/gte-reranker-modernbert-base", "modernbert", 149.0, "apache-2.0", "en", 8192),
    KnownModel("BAAI/bge-reranker-base", "xlm-roberta", 278.0, "mit", "zh, en", 512),
    KnownModel("BAAI/bge-reranker-large", "xlm-roberta", 559.9, "mit", "zh, en", 512),
    KnownModel("BAAI/bge-reranker-v2-m3", "xlm-roberta", 567.8, "apache-2.0", "100+ languages", 8192),
    KnownModel("mixedbread-ai/mxbai-rerank-xsmall-v1", "deberta-v2", 70.8, "apache-2.0", "en", 512),
    KnownModel("mixedbread-ai/mxbai-rerank-base-v1", "deberta-v2", 184.4, "apache-2.0", "en", 512),
    KnownModel("mixedbread-ai/mxbai-rerank-large-v1", "deberta-v2", 435.1, "apache-2.0", "en", 512),
    KnownModel("jinaai/jina-reranker-v1-tiny-en", "jina-bert", 33.0, "apache-2.0", "en", 8192),
    KnownModel("jinaai/jina-reranker-v1-turbo-en", "jina-bert", 37.8, "apache-2.0", "en", 8192),
    KnownModel("jinaai/jina-reranker-v2-base-multilingual", "xlm-roberta-flash", 278.0, "cc-by-nc-4.0", "many", 1024),
    KnownModel("castorini/monot5-base-msmarco", "t5", 222.9, "not stated", "en", 512, MONOT5),
    KnownModel("castorini/monot5-base-msmarco-10k", "t5", 222.9, "not stated", "en", 512, MONOT5),
    KnownModel("castorini/monot5-large-msmarco", "t5", 737.7, "not stated", "en", 512, MONOT5),
    KnownModel("castorini/monot5-3b-msmarco", "t5", 2851.6, "not stated", "en", 512, MONOT5),
    KnownModel("unicamp-dl/mt5-base-mmarco-v2", "mt5", 582.4, "mit", "14 languages", 512, "monot5-yes-no"),
    KnownModel("Soyoung97/RankT5-base", "t5", 222.9, "not stated", "en", 512, RANKT5),
    KnownModel("Soyoung97/RankT5-large", "t5", 737.7, "not stated", "en", 512, RANKT5),
    KnownModel("Soyoung97/RankT5-3b", "t5", 2851.6, "not stated", "en", 512, RANKT5),
    KnownModel("mixedbread-ai/mxbai-rerank-base-v2", "qwen2", 494.0, "apache-2.0", "100+ languages", 8192, MXBAI),
    KnownModel("mixedbread-ai/mxbai-rerank-large-v2", "qwen2", 1543.7, "apache-2.0", "100+ languages", 8192, MXBAI),
    KnownModel("Qwen/Qwen3-Reranker-0.6B", "qwen3", 595.8, "apache-2.0", "100+ languages", 8192, QWEN3),
    KnownModel("Qwen/Qwen3-Reranker-4B", "qwen3", 4022.5, "apache-2.0", "100+ languages", 8192, QWEN3),
    KnownModel("Qwen/Qwen3-Reranker-8B", "qwen3", 8190.7, "apache-2.0", "100+ languages", 8192, QWEN3),
    KnownModel("tomaarsen/Qwen3-Reranker-0.6B-seq-cls", "qwen3", 595.8, "apache-2.0", "100+ languages", 8192, QWEN3),
    KnownModel("BAAI/bge-reranker-v2-gemma", "gemma", 2506.2, "gemma", "100+ languages", 1024, "bge-reranker-gemma"),
    KnownModel(
        "BAAI/bge-reranker-v2-minicpm-layerwise",
        "minicpm-layerwise",
        2724.9,
        "apache-2.0",
        "100+ languages",
        1024,
        "bge-reranker-layerwise",
    ),
)

KNOWN = (MINI, *CATALOGUE)
