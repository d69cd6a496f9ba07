"""A run: equal seeds give equal weights, interrupted or not; faults stop it with what was good kept."""

import dataclasses
import json
import os
import re
import signal
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from disks import full_disk
from training import CONFIG, config_of, write_jsonl, write_set

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")
from safetensors.numpy import load_file  # noqa: E402

from crossrank import Reranker  # noqa: E402
from crossrank.errors import (  # noqa: E402
    CrossrankError,
    ModelNotFoundError,
    NotFiniteError,
    UnsupportedModelError,
    UsageError,
)
from crossrank.train import TrainConfig, dry_run, train  # noqa: E402
from crossrank.train.checkpoints import averaged, checkpoints  # noqa: E402
from crossrank.train.events import Evaluated, Event, Saved, Stepped  # noqa: E402
from crossrank.train.interrupt import TrainingInterrupted  # noqa: E402
from crossrank.train.measuring import TorchRanker, read_sets  # noqa: E402
from crossrank.train.student import _cast  # noqa: E402
from crossrank.types import Ranker  # noqa: E402

EVALUATED = CONFIG + '[[evaluate]]\npath = "set"\ncandidates = "judged"\n'
PAIRS = [("about fox", "The fox is number 3."), ("dog", "Nothing at all.")]


def with_train(config: TrainConfig, **options: object) -> TrainConfig:
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainConfig, Path, list[Event]]:
    """A whole run with dropout and evaluation, and what was heard of it."""
    folder = tmp_path_factory.mktemp("finished")
    write_set(folder / "set")
    config = with_train(config_of(folder, EVALUATED), dropout=0.1, evaluate_every=4, learning_rate=1e-3)
    heard: list[Event] = []
    return config, train(config, emit=heard.append), heard


def test_the_loss_falls_and_events_tell_of_it(finished: tuple[TrainConfig, Path, list[Event]]) -> None:
    _, folder, heard = finished
    steps = [event for event in heard if isinstance(event, Stepped)]
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 6]
    assert all(event.pairs_per_s > 0 and event.left_s >= 0 for event in steps)
    assert [event.step for event in heard if isinstance(event, Evaluated)] == [4, 6]
    assert heard[-1] == Saved(6, str(folder))


def test_the_model_loads_everywhere_with_the_same_scores(finished: tuple[TrainConfig, Path, list[Event]]) -> None:
    from sentence_transformers import CrossEncoder
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = finished[1]
    ours = Reranker(str(folder), precision="fp32", cache=None).score(PAIRS, raw=True)
    theirs = CrossEncoder(str(folder), device="cpu")
    assert type(theirs.activation_fn).__name__ == "Sigmoid"
    assert theirs.predict(PAIRS) == pytest.approx(1 / (1 + np.exp(-ours)), abs=1e-5)
    tokens = AutoTokenizer.from_pretrained(folder)(*zip(*PAIRS, strict=True), padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = AutoModelForSequenceClassification.from_pretrained(folder)(**tokens).logits[:, 0]
    assert logits.numpy() == pytest.approx(ours, abs=1e-5)
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    ]  # fmt: skip
    settings = json.loads((folder / "config.json").read_text())
    assert settings["hidden_dropout_prob"] == 0.1  # the base's own default: training's dropout is not written
    assert json.loads((folder / "tokenizer.json").read_text())["truncation"] is None
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 64


def test_the_card_says_what_was_run(finished: tuple[TrainConfig, Path, list[Event]]) -> None:
    card = (finished[1] / "README.md").read_text()
    assert card.startswith("---\nlanguage: en\npipeline_tag: text-ranking\n")
    for fact in (
        "6 steps of 2 queries",
        "48 pairs",
        "1 x kl (teacher words) + 0.5 x bce",
        "| triples | not stated |",
        "| set (judged",
        "seed 13",
    ):
        assert fact in card, card


@pytest.mark.parametrize("stop_at", [1, 3])
def test_an_interrupted_run_continued_gives_the_same_bits(
    finished: tuple[TrainConfig, Path, list[Event]], tmp_path: Path, stop_at: int
) -> None:
    config = finished[0].replaced(output=str(tmp_path / "again"))

    def interrupt(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted, match=f"after step {stop_at} of 6, which is saved"):
        train(config, emit=interrupt)
    heard: list[Event] = []
    folder = train(config, resume=True, emit=heard.append)
    assert [event.step for event in heard if isinstance(event, Stepped)] == list(range(stop_at + 1, 7))
    assert (folder / "model.safetensors").read_bytes() == (finished[1] / "model.safetensors").read_bytes()
    logs = [
        [
            (line["step"], line.get("loss"), line.get("measures"))
            for line in map(json.loads, log.read_text().splitlines())
        ]
        for log in (folder.parent / "log.jsonl", finished[1].parent / "log.jsonl")
    ]
    assert logs[0] == logs[1]


def test_a_crash_between_checkpoints_loses_only_the_steps_since(
    finished: tuple[TrainConfig, Path, list[Event]], tmp_path: Path
) -> None:
    config = finished[0].replaced(output=str(tmp_path / "again"))

    def crash(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 5:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(config, emit=crash)
    assert checkpoints(tmp_path / "again" / "checkpoints")[-1].name == "checkpoint-4"
    folder = train(config, resume=True)
    assert (folder / "model.safetensors").read_bytes() == (finished[1] / "model.safetensors").read_bytes()


def test_a_finished_run_continued_changes_nothing(finished: tuple[TrainConfig, Path, list[Event]]) -> None:
    config, folder, _ = finished
    before = (folder / "model.safetensors").read_bytes()
    heard: list[Event] = []
    assert train(config, resume=True, emit=heard.append) == folder
    assert not [event for event in heard if isinstance(event, Stepped)]
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_folder_with_another_run_is_left_alone(
    finished: tuple[TrainConfig, Path, list[Event]], tmp_path: Path
) -> None:
    config = finished[0]
    with pytest.raises(UsageError, match=r"holds a run already .*--resume to continue it, or another --output"):
        train(config)
    with pytest.raises(UsageError, match=r"another train.steps \(6 there, 9 now\)"):
        train(config.replaced(steps=9), resume=True)
    (tmp_path / "precious.txt").touch()
    with pytest.raises(UsageError, match="not empty and holds no run"):
        train(config.replaced(output=str(tmp_path)))
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def test_the_result_can_be_the_mean_of_checkpoints_in_fp16(tmp_path: Path) -> None:
    config = with_train(config_of(tmp_path), average=3, keep=1)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, precision="fp16"))
    folder = train(config)
    three = checkpoints(tmp_path / "out" / "checkpoints")
    assert [path.name for path in three] == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    written = load_file(folder / "model.safetensors")
    singles = [load_file(path / "model.safetensors") for path in three]
    for name, tensor in written.items():
        assert tensor.dtype == np.float16
        assert tensor == pytest.approx(np.mean([one[name] for one in singles], axis=0), abs=1e-3)
    assert set(averaged(three)) == set(written)
    assert Reranker(str(folder), cache=None).score(PAIRS).shape == (2,)


def test_the_result_can_be_averaged_with_another_runs(tmp_path: Path) -> None:
    """A second run starts from the first one's model, and the mean of both is written; the card tells."""
    first = train(config_of(tmp_path))
    config = config_of(tmp_path).replaced(output=str(tmp_path / "second"))
    model = dataclasses.replace(config.model, base=str(first), average_with=(str(first),), base_note="A first run.")
    folder = train(dataclasses.replace(config, model=model))
    (last,) = [path for path in checkpoints(tmp_path / "second" / "checkpoints") if path.name == "checkpoint-6"]
    one, other = load_file(first / "model.safetensors"), load_file(last / "model.safetensors")
    for name, tensor in load_file(folder / "model.safetensors").items():
        assert tensor == pytest.approx((one[name] + other[name]) / 2, abs=1e-6)
    card = (folder / "README.md").read_text()
    assert "A first run." in card
    assert str(tmp_path) not in card


def test_a_loss_that_is_no_number_stops_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    # One query in twelve has a teacher's score that `scale` turns into infinity.
    write_jsonl(
        tmp_path / "wild.jsonl", [{"query": "q", "document": d, "score": s} for d, s in (("a", 1e38), ("b", 0))]
    )
    text = CONFIG.replace("[[losses]]", '[[losses]]\nkind = "kl"\nteacher = "given"\nscale = 1e38\n[[losses]]', 1)
    text += 'share = 11\n[[sources]]\npath = "wild.jsonl"\nkind = "pairs"\nscores = "teacher"\nshare = 1\n'
    config = with_train(config_of(tmp_path, text), queries_per_step=1, steps=12, save_every=1, keep=1)
    with pytest.raises(NotFiniteError, match="Likely causes: a learning rate that is too high") as caught:
        train(config)
    step = int(re.search(r"At step (\d+) the loss is nan", str(caught.value))[1])
    assert step > 1
    (last,) = checkpoints(tmp_path / "out" / "checkpoints")
    assert last.name == f"checkpoint-{step - 1}"
    assert f"{last} is the last good checkpoint" in str(caught.value)
    assert all(np.isfinite(tensor).all() for tensor in load_file(last / "model.safetensors").values())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    config, disk = config_of(tmp_path), ExitStack()

    def fill(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 3:  # the checkpoint after step 4 finds no room
            disk.enter_context(full_disk(4096))

    with disk, pytest.raises(CrossrankError, match=r"checkpoint-4 could not be written .*--resume"):
        train(config, emit=fill)
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["checkpoint-2"]
    assert train(config, resume=True).is_dir()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train.device is 'cuda', but torch sees no GPU"):
        train(with_train(config_of(tmp_path), device="cuda"))
    assert not (tmp_path / "out").exists()


def test_an_unknown_or_unfit_base_is_said(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    missing = dataclasses.replace(config, model=dataclasses.replace(config.model, base=str(tmp_path / "nothing")))
    with pytest.raises(ModelNotFoundError, match="nothing"):
        train(missing)
    long = dataclasses.replace(config, model=dataclasses.replace(config.model, max_length=4096))
    with pytest.raises(UnsupportedModelError, match=r"4096, but .* reads 64 at most"):
        train(long)


def test_bfloat16_trains_too(tmp_path: Path) -> None:
    config = with_train(config_of(tmp_path), bf16="on", steps=2)
    weights = load_file(train(config) / "model.safetensors")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"float32"}


def test_a_dry_run_counts_times_and_writes_nothing(tmp_path: Path) -> None:
    found = dry_run(config_of(tmp_path))
    assert found.counts == {"triples": (24, 30, 12)}
    assert (found.pairs, len(found.examples)) == (48, 2)
    assert found.seconds == pytest.approx(found.pairs / found.pairs_per_s)
    assert not (tmp_path / "out").exists()


def test_on_a_gpu_evaluation_ranks_with_torch_the_same(finished: tuple[TrainConfig, Path, list[Event]]) -> None:
    from sentence_transformers import CrossEncoder

    student = CrossEncoder(str(finished[1]), device="cpu").train()
    documents = [document for _, document in PAIRS]
    theirs = TorchRanker(student).rank("about fox", documents)
    ours = Reranker(str(finished[1]), precision="fp32", cache=None).rank("about fox", documents)
    assert theirs.indices == ours.indices
    assert theirs.scores == pytest.approx(ours.scores, abs=1e-5)
    assert student.training
    assert isinstance(TorchRanker(student), Ranker)


def test_evaluation_uses_the_engine_that_users_run(
    finished: tuple[TrainConfig, Path, list[Event]],
) -> None:
    config, folder, heard = finished
    (one,) = read_sets(config)
    with Reranker(str(folder), max_length=40, long_documents="truncate", cache=None) as ranker:
        _, measured = one.measure(ranker)
    last = [event for event in heard if isinstance(event, Evaluated)][-1]
    assert last.measures == {"set": measured}


def test_an_interruption_off_schedule_leaves_the_mean_alone(tmp_path: Path) -> None:
    config = with_train(config_of(tmp_path), average=3)
    whole = (train(config) / "model.safetensors").read_bytes()
    config = config.replaced(output=str(tmp_path / "again"))

    def interrupt(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted):
        train(config, emit=interrupt)
    with pytest.raises(UsageError, match=r"another train\.average"):
        train(with_train(config, average=2), resume=True)
    assert (train(config, resume=True) / "model.safetensors").read_bytes() == whole
    assert [path.name[-1] for path in checkpoints(tmp_path / "again" / "checkpoints")] == ["2", "4", "6"]


def test_a_weight_beyond_fp16_is_refused() -> None:
    with pytest.raises(NotFiniteError, match="w reaches 100000"):
        _cast(torch.tensor([1e5]), torch.float16, "w")


def test_several_gpus_are_one(tmp_path: Path) -> None:
    from crossrank.train.trainer import CrossEncoderTrainingArguments, on_one_device

    arguments = CrossEncoderTrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    assert arguments.n_gpu == 0
    arguments._n_gpu = 4
    assert on_one_device(arguments).n_gpu == 1
