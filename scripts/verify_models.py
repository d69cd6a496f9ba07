"""Load every model of the catalogue, compare it with the reference implementation, and keep what that gave.

    make verify-models                      all, where a hub can be reached
    make verify-models MODELS="A B"         some; a local folder's name counts too

The reference is transformers in fp32 on the self-test's probes. What agrees to 1e-3 is written to
src/crossrank/checkpoint/golden.json with the revision and the date, and to docs/models.md; commit both.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from crossrank import Reranker
from crossrank.checkpoint.catalogue import CATALOGUE, GOLDEN, KnownModel, golden, read_golden
from crossrank.checkpoint.families import FAMILIES
from crossrank.checkpoint.profile import ModelProfile, read_profile
from crossrank.checkpoint.source import BUNDLED, locate
from crossrank.engine.open import open_scorer
from crossrank.engine.options import OpenConfig
from crossrank.engine.pair import Pair
from crossrank.engine.selftest import PROBES
from crossrank.errors import CrossrankError, HubError

AGREE = 1e-3
PAIRS = [(query, document) for query, *documents in PROBES for document in documents]
PAGE = Path(__file__).parent.parent / "docs" / "models.md"


def main() -> int:
    """Verify, write, and say what came of each; 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="names of the catalogue; all without one")
    parser.add_argument("--page", action="store_true", help="only write docs/models.md")
    arguments = parser.parse_args()
    wrong = False
    on_demand = {model.name for model in CATALOGUE if model.on_demand}
    for name in () if arguments.page else arguments.models or [BUNDLED, *(model.name for model in CATALOGUE)]:
        if name in on_demand:
            print(f"{name}: not compared, as the reference would be code of the checkpoint, which is never run")
            continue
        try:
            told = verify(name)
        except HubError as exc:
            print(f"{name}: not reached ({exc})")
        except CrossrankError as exc:
            wrong = True
            print(f"{name}: FAILED, {exc}")
        else:
            wrong |= told is not None
            print(f"{name}: {told or 'verified'}")
    PAGE.write_text(page(), encoding="utf-8")
    return int(wrong)


def verify(name: str) -> str | None:
    """Compare one model and keep what the reference gave; what is wrong, or None."""
    source = locate(name)
    profile = read_profile(source.folder, source.name)
    expected = reference(source.folder, profile)
    with Reranker(name, device="cpu", precision="fp32", cache=None) as reranker:
        ours = reranker.score(PAIRS, raw=True)
    difference = float(np.abs(ours - expected).max())
    if not difference <= AGREE:
        return f"DIFFERS by {difference:.2g} from transformers: {ours.tolist()} against {expected.tolist()}"
    stored = json.loads(GOLDEN.read_text(encoding="utf-8"))
    revision = "bundled" if name == BUNDLED else source.folder.name
    stored[name] = {
        "revision": revision,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "logits": [round(float(logit), 4) for logit in expected],
    }
    GOLDEN.write_text(json.dumps(dict(sorted(stored.items())), indent=2) + "\n", encoding="utf-8")
    read_golden.cache_clear()
    return None


def reference(folder: Path, profile: ModelProfile) -> np.ndarray:
    """Transformers' logits of the probes, fp32 [pairs], for the very ids that crossrank makes."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoModelForSequenceClassification

    scorer = open_scorer(
        OpenConfig(str(folder), device="cpu", self_test=False, cache=None, template=_template(profile))
    )
    rows = [item.rows[0] for item in scorer.encoder.encode([Pair(*pair) for pair in PAIRS], {})]
    answers = scorer.profile.answers
    kind = AutoModelForSequenceClassification if answers is None else AutoModelForCausalLM
    begin = {}
    if answers is not None and profile.family.foreign:  # an encoder-decoder: its first token is the answer
        kind, begin = AutoModelForSeq2SeqLM, {"decoder_input_ids": torch.zeros(1, 1, dtype=torch.long)}
    model = kind.from_pretrained(folder, dtype=torch.float32).eval()
    logits = []
    with torch.inference_mode():
        for row in rows:
            given = {"input_ids": torch.from_numpy(row.ids)[None].long()}
            if profile.segments > 1:
                given["token_type_ids"] = torch.from_numpy(row.segments)[None].long()
            out = model(**given, **begin).logits
            if answers is None:
                logits.append(out[0].numpy())
            else:
                last = out[0, -1]
                logits.append(np.array([last[answers.yes] - (0 if answers.no is None else last[answers.no])]))
    from crossrank.engine.head import read

    return read(np.array(logits, np.float32), profile.reading)


def _template(profile: ModelProfile) -> str | None:
    return None if profile.prompt is None else profile.prompt.name


def page() -> str:
    """docs/models.md."""
    lines = [
        "# Models",
        "",
        "<!-- Written by `make verify-models`; its data is in src/crossrank/checkpoint: catalogue.py, golden.json -->",
        "",
        "Any model of these families works, whether it is in the table or not: "
        + ", ".join(FAMILIES)
        + "; and through transformers every other classifier. Open one by its name, or as a folder: "
        '`Reranker("BAAI/bge-reranker-base")`. [engines.md](engines.md) says what runs where, ONNX files among it.',
        "",
        '"Verified" is when the real weights gave the logits of transformers, to 1e-3, on the self-test\'s probes;',
        '"not yet": its family is checked against transformers on random weights only.',
        "",
        "| model | family | parameters | licence | languages | tokens | engines | asked by | verified |",
        "|---|---|---:|---|---|---:|---|---|---|",
        *(_line(model) for model in (_bundled(), *CATALOGUE)),
        "",
        *_REST,
    ]
    return "\n".join([*lines, ""])


_REST = """## Models whose code comes with them

Some checkpoints bring their modelling code along (`auto_map` in config.json, `trust_remote_code=True` elsewhere). It
is never run. For those marked `allow_unverified` crossrank has a net of its own, written from the public text of that
code and tested against a plain implementation of it on random weights; nobody has compared the two on the real
weights yet. They are opened on demand only, and a few scores of the model's card should be compared first. Of those
that are stored as ONNX, `backend="onnx"` runs what their authors exported, and needs no such demand.

    Reranker("jinaai/jina-reranker-v1-turbo-en", allow_unverified=True)
    crossrank rank "who created python" docs.txt --model jinaai/jina-reranker-v1-turbo-en --allow-unverified

All others of that kind are refused, as are rerankers that cannot be scored pair by pair:

- **jina-reranker-v3** reads all documents of a query in one prompt (listwise): a document's score depends on those
  beside it. Its vendor serves it: `Reranker("jina:jina-reranker-v3")`, see [remote.md](remote.md).
- **jina-reranker-m0** reads pictures too; `Reranker("jina:jina-reranker-m0")`.
- **bge-reranker-v2.5-gemma2-lightweight** merges tokens between its layers.

## Heads

One label is the score. Of two the second counts against the first, of numbered grades the expected one is the score.
Chains of sentence-transformers modules (`ettin-reranker`) and its `LogitScore` are read as they are stored.

## Models that are asked in words

The column "asked by" is the template; it is known by the model's name, by its chat template, or from `template=`.
`instruction=` says what to look for, of those whose template has a place for it (Qwen3, mxbai v2, bge). monoT5 and
RankT5 are encoder-decoders, run by transformers: the decoder's first token is the answer. Of older repositories that
hold pickles only, `crossrank convert --template` makes safetensors, and where there is no tokenizer.json, transformers'
`AutoTokenizer.from_pretrained(...).save_pretrained(folder)` writes it.

## Early exits

bge-reranker-v2-minicpm-layerwise has a head after each layer from the 8th to the 40th. `layer=` chooses one; what
comes after it is not read from the disk, nor computed:

    Reranker("BAAI/bge-reranker-v2-minicpm-layerwise", layer=28, allow_unverified=True)
""".splitlines()


def _bundled() -> KnownModel:
    return KnownModel(BUNDLED, "bert", 22.7, "apache-2.0", "en", read_profile(locate(None).folder, BUNDLED).max_length)


def _line(model: KnownModel) -> str:
    verified = golden(model.name)
    cells = (
        model.name,
        model.family,
        f"{model.parameters_m:,.1f} M",
        model.licence,
        model.languages,
        f"{model.max_length:,}",
        model.engines,
        model.template or "",
        verified.date if verified else "`allow_unverified`" if model.on_demand else "not yet",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
