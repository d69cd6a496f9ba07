"""A training config is checked key by key; each refusal names the key, the value and what is allowed."""

from pathlib import Path

import pytest

from crossrank.errors import InputFileError, UsageError
from crossrank.train import read_config
from training import CONFIG, config_of, write_config, write_set


def test_every_key_has_a_default_but_what_only_the_user_can_know(tmp_path: Path) -> None:
    config = config_of(tmp_path, '[run]\noutput="o"\n[model]\nbase="base"\n[train]\nsteps=3\n[[sources]]\npath="s"\n')
    assert (config.train.steps, config.losses[0].kind, config.negatives.hard) == (3, "bce", 4)
    assert config.output == tmp_path / "o"
    assert config.below_data("s") == tmp_path / "s"


def test_a_config_may_have_a_byte_order_mark_and_other_line_ends(tmp_path: Path) -> None:
    """As editors of Windows save it."""
    file = tmp_path / "config.toml"
    file.write_bytes('\ufeff[run]\r\noutput="o"\r\n[model]\r\nbase="b"\r\n[train]\r\nsteps=3\r\n'.encode())
    with file.open("ab") as more:
        more.write(b'[[sources]]\r\npath="s"\r\n')
    assert read_config(file).train.steps == 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 6", "stepz = 6", r"train.stepz is no key of the config. Did you mean 'steps'"),
        ("steps = 6", "", r"train.steps is missing"),
        ("steps = 6", "steps = 0", r"train.steps must be at least 1, not 0"),
        ("steps = 6", "steps = 2.5", r"train.steps must be a whole number, not 2.5"),
        ("steps = 6", "steps = true", r"train.steps must be a whole number, not True"),
        ("steps = 6", 'steps = 6\nlearning_rate = "x"', r"train.learning_rate must be a number, not 'x'"),
        ("steps = 6", "steps = 6\nlearning_rate = nan", r"train.learning_rate must be above 0 and at most 1, not nan"),
        ("steps = 6", 'steps = 6\nschedule = "up"', r"train.schedule must be one of 'linear', .*, not 'up'"),
        ("[negatives]", "negatives = 3\n[x]", r"no key|negatives must be a table"),
        ('kind = "triples"', 'kind = "tripels"', r"sources\[0\].kind must be one of .*'triples'"),
        ('kind = "triples"', 'kind = "triples"\nshare = 0', r"sources\[0\].share must be above 0"),
        ('teacher = "words"', 'teacher = "wrods"', r"losses\[0\].teacher is 'wrods'.*words"),
        ('teacher = "words"', "", r"losses\[0\]: 'kl' needs a teacher: words"),
        ("weight = 0.5", 'teacher = "words"', r"losses\[1\]: 'bce' follows labels"),
        ("hard = 2", "hard = 2\nmargin = 0.1", r"`teacher` and `margin` or `share` go together"),
        ("hard = 2", 'hard = 2\nmargin = 0.1\nteacher = "given"', r"negatives.teacher is 'given'"),
        ('kind = "bm25"', 'kind = "bi-encoder"', r"of kind 'bi-encoder' needs a model"),
        ('kind = "bm25"', 'kind = "bm25", model = "x"', r"of kind 'bm25' takes no model"),
    ],
)
def test_what_cannot_be_taken_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CONFIG
    with pytest.raises(UsageError, match=message):
        config_of(tmp_path, CONFIG.replace(old, new, 1))


def test_names_of_sources_are_unique(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the name 'triples' stands there twice"):
        config_of(tmp_path, CONFIG + '[[sources]]\npath = "triples.jsonl"\nkind = "triples"\n')


def test_a_set_that_is_trained_on_cannot_measure(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    both = CONFIG + '[[sources]]\npath = "set"\nsplit = "test"\n[[evaluate]]\npath = "../' + tmp_path.name + '/set"\n'
    with pytest.raises(UsageError, match="trained on cannot measure"):
        config_of(tmp_path, both)


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"nothing.toml cannot be read: No such file"):
        read_config(tmp_path / "nothing.toml")
    with pytest.raises(InputFileError, match=r"config.toml is no TOML: .*line 1"):
        read_config(write_config(tmp_path, "= 3"))


def test_the_command_line_replaces_output_steps_and_data(tmp_path: Path) -> None:
    config = config_of(tmp_path).replaced(output="/x", steps=9, data="/d")
    assert (str(config.output), config.train.steps, str(config.below_data("a"))) == ("/x", 9, "/d/a")


@pytest.mark.parametrize("name", ["crossrank-mini-1", "crossrank-mini"])
def test_the_recipes_in_the_repository_are_sound_configs(name: str) -> None:
    config = read_config(Path(__file__).parents[1] / "recipes" / f"{name}.toml")
    measured = {one.path for one in config.evaluate}
    never = {"trec_dl19", "cranfield", "cacm", "liveqa_med", "noveleval", "rag_product_docs", "zoomcamp_faq"}
    assert not never & {source.path for source in config.sources}
    assert "trec_dl19" in measured
    assert all(source.licence for source in config.sources)
    assert {source.split for source in config.sources if source.path == "scifact"} == {"train"}


def test_the_second_recipe_starts_from_the_first_ones_model() -> None:
    recipes = Path(__file__).parents[1] / "recipes"
    first, second = (read_config(recipes / f"{name}.toml") for name in ("crossrank-mini-1", "crossrank-mini"))
    assert Path(second.model.base).resolve() == first.output.resolve() / "model"
    assert first.cache.resolve() == second.cache.resolve()
