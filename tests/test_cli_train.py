"""`crossrank train`: what it prints, how it ends, and how it is continued."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crossrank.cli.group import cli
from training import CONFIG, write_config
from unmeasured import unmeasured

pytest.importorskip("sentence_transformers")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "crossrank", "train", *map(str, arguments)]


def run(*arguments: object) -> Result:
    """In this process: another would spend most of its time on importing torch."""
    return CliRunner().invoke(cli, ["train", *map(str, arguments)])


def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        CONFIG.replace("steps = 6", "steps = 4000").replace("save_every = 2", "save_every = 9000")
        + "repeats_max = 999\n",
    )
    with subprocess.Popen(command(config), stderr=subprocess.PIPE, text=True, env=unmeasured()) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:  # the first step has been made
                if line.startswith("step "):
                    break
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert f"which is saved. Continue with: crossrank train {config} --resume\n" in said
    assert len(list((tmp_path / "out" / "checkpoints").glob("checkpoint-*"))) == 1


def test_a_run_prints_progress_to_stderr_and_the_models_folder_to_stdout(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    done = run(config, "--output", tmp_path / "other", "--steps", 2)
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'other' / 'model'}\n"), done.stderr
    lines = done.stderr.splitlines()
    assert any("triples: BM25 0/" in line for line in lines)
    assert any(line.startswith("step 1/2  loss ") and line.endswith(" left") for line in lines)
    assert not [line for line in lines if "Warning" in line or "%|" in line]


def test_a_dry_run_shows_counts_an_example_and_the_time(tmp_path: Path) -> None:
    done = run(write_config(tmp_path), "--dry-run")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "source   queries  documents  examples   share  turns",
        "triples       24         30        12  100.0%    0.5",
    ]
    for word in ("An example: what is", "pairs", "pairs/s, measured", "time"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_config_exits_2_with_one_line(tmp_path: Path) -> None:
    config = write_config(tmp_path, CONFIG.replace("steps = 6", "stepz = 6"))
    done = subprocess.run(command(config), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == f"crossrank: {config}: train.stepz is no key of the config. Did you mean 'steps'?\n"
