"""A model is found where it is: bundled, in a folder, in the cache or on the hub; every failure says what to do."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossrank import Reranker
from crossrank.checkpoint.catalogue import suggestion
from crossrank.checkpoint.source import BUNDLED, bundled_folder, locate
from crossrank.errors import ModelNotFoundError, UnsupportedModelError, UsageError
from hub import NAME, Answer, Hub, Machine
from ports import refusing

FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
TMPFS_OPTIONS = {"full": "size=96k", "read-only": "ro"}


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system of its own, mounted with the options that TMPFS_OPTIONS holds for the parameter."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    options = TMPFS_OPTIONS[request.param]
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_no_name_and_its_own_name_both_give_the_bundled_model() -> None:
    """None and "crossrank-mini" are the same folder, inside the package."""
    assert locate(None) == locate(BUNDLED)
    assert locate(None).folder == bundled_folder()
    assert (locate(None).folder / "model.safetensors").is_file()


def test_the_bundled_model_has_no_revisions() -> None:
    """A revision of the bundled model is a mistake, not silently ignored."""
    with pytest.raises(UsageError, match="comes with crossrank"):
        locate(None, revision="main")


def test_a_local_folder_has_no_revisions(checkpoint: Callable[..., Path]) -> None:
    """A revision of a folder is a mistake, not silently ignored."""
    with pytest.raises(UsageError, match="is a folder on this machine"):
        locate(str(checkpoint("bert")), revision="main")


@pytest.mark.parametrize("spell", [str, os.path.relpath, lambda f: f"./{os.path.relpath(f)}/", Path])
def test_a_local_folder_is_found_however_it_is_written(
    spell: Callable[[Path], str], checkpoint: Callable[..., Path]
) -> None:
    """Absolute, relative and pathlib paths open the same model."""
    with Reranker(spell(checkpoint("bert"))) as reranker:  # type: ignore[arg-type]
        assert len(reranker.rank("fox", ["a fox", "a zebra"])) == 2
    assert locate(str(spell(checkpoint("bert")))).folder == checkpoint("bert").resolve()


def test_the_home_folder_may_be_a_tilde(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """~/model is a folder in the home folder."""
    shutil.copytree(checkpoint("bert"), tmp_path / "model")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("~/model").folder == (tmp_path / "model").resolve()
    (tmp_path / "file").touch()
    with pytest.raises(ModelNotFoundError, match="is a file, not a folder"):
        locate("~/file")


def test_a_folder_goes_before_a_model_of_the_same_name(
    checkpoint: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing folder named like a model of the hub is taken without asking the hub."""
    shutil.copytree(checkpoint("bert"), tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    assert locate(NAME).folder == (tmp_path / NAME).resolve()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("/no/such/folder", "does not exist"),
        ("./no-such-folder", "does not exist"),
        ("~/no-such-folder", "does not exist"),
        (__file__, "is a file, not a folder"),
        ("x" * 5000, "too long"),
        ("~nobody-of-that-name/model", "home directory"),
        ("/no/such\0folder", "does not exist"),
    ],
)
def test_a_path_without_a_folder_is_named(spec: str, says: str) -> None:
    """What is clearly a path is never looked for on the hub."""
    with pytest.raises(ModelNotFoundError, match=says) as caught:
        locate(spec)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("spec", ["", "  ", 7])
def test_an_empty_name_is_a_mistake(spec: object) -> None:
    """A name must be text."""
    with pytest.raises(UsageError, match="name or a folder"):
        locate(spec)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", ["http://host/v1", "https://host", "cohere:rerank-v3.5", "voyage:rerank-2", "jina:x"])
def test_remote_rerankers_have_no_files(spec: str) -> None:
    """A remote reranker is recognised as one, and refused where a checkpoint's files are needed."""
    with pytest.raises(UnsupportedModelError, match="remote reranker"):
        locate(spec)


@pytest.mark.parametrize(
    ("given", "suggested"),
    [
        ("bge-reranker-base", "'BAAI/bge-reranker-base'"),
        ("baai/BGE-reranker-v2-m3", "'BAAI/bge-reranker-v2-m3'"),
        ("ms-marco-MiniLM-L6-v2", "'cross-encoder/ms-marco-MiniLM-L6-v2'"),
        ("crossrank-min", "'crossrank-mini'"),
        ("something entirely else", "crossrank models list"),
    ],
)
def test_close_names_are_suggested(given: str, suggested: str) -> None:
    """A suggestion is the full name of a known model, however the name was misspelt."""
    assert suggested in suggestion(given)


def test_a_model_of_the_hub_is_downloaded_and_scores_as_its_folder_does(
    hub: Hub, machine: Machine, checkpoint: Callable[..., Path]
) -> None:
    """Only the files that are needed are fetched: no pickle, no code, no other format."""
    local = Reranker(str(checkpoint("bert")))
    expected = local.score([("fox", "The quick brown fox"), ("fox", "Zebras jump")], raw=True).tolist()
    opened = machine.open(NAME)
    assert opened["logits"] == expected
    assert hub.downloads() == FILES
    assert sorted(path.name for path in Path(opened["folder"]).iterdir()) == FILES


def test_a_long_listing_is_read_page_by_page(hub: Hub, machine: Machine) -> None:
    """A model whose files are listed on many pages is fetched whole."""
    hub.page = 2
    assert "logits" in machine.open(NAME)
    assert hub.downloads() == FILES


def test_the_second_time_nothing_is_downloaded(hub: Hub, machine: Machine) -> None:
    """A cached model costs two questions for the newest commit, no file, and no request at all when pinned."""
    first = machine.open(NAME)
    hub.requests.clear()
    again = machine.python("import sys; from crossrank import Reranker; Reranker(sys.argv[1])", NAME)
    assert again.returncode == 0
    assert len(hub.requests) <= 2
    assert all("/resolve/" not in line and "/tree/" not in line for line in hub.requests)
    hub.requests.clear()
    assert machine.open(NAME, Path(first["folder"]).name) == first
    assert hub.requests == []


def test_revisions_are_different_models(hub: Hub, machine: Machine, checkpoint: Callable[..., Path]) -> None:
    """Branch and commit choose the files; main moves on when the hub's does."""
    old = hub.repositories[NAME].refs["main"]
    branch = hub.add(NAME, checkpoint("bert", seed=1), revision="seed/one")
    first = machine.open(NAME)
    assert machine.open(NAME, "seed/one")["logits"] != first["logits"]
    assert machine.open(NAME, branch) == machine.open(NAME, "seed/one")
    hub.repositories[NAME].refs["main"] = branch
    assert machine.open(NAME)["logits"] == machine.open(NAME, branch)["logits"]
    assert machine.open(NAME, old) == first


@pytest.mark.parametrize("revision", ["no-such-branch", "0" * 40])
def test_a_wrong_revision_is_named(revision: str, machine: Machine) -> None:
    """A revision that the hub does not know is no reason to take another."""
    failed = machine.open(NAME, revision)
    assert failed["error"] == "ModelNotFoundError"
    assert f"no revision '{revision}'" in failed["message"]


def test_a_cached_model_opens_offline(hub: Hub, machine: Machine) -> None:
    """HF_HUB_OFFLINE=1 needs no request."""
    online = machine.open(NAME)
    hub.requests.clear()
    assert machine.open(NAME, offline=True) == online
    assert hub.requests == []


def test_offline_and_not_cached_is_an_error_with_the_remedy(hub: Hub, machine: Machine) -> None:
    """The message names the model, the setting and what would help; not the command that may just have failed."""
    failed = machine.open(NAME, offline=True)
    assert failed["error"] == "HubError"
    for part in (NAME, "HF_HUB_OFFLINE is set. Unset it", "crossrank-mini, the bundled model, needs no network"):
        assert part in failed["message"]
    assert "models pull" not in failed["message"]
    assert hub.requests == []


def test_an_unreachable_hub_fails_at_once(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    """A closed port is no long wait; a cached model opens all the same."""
    with Hub() as hub:
        hub.add(NAME, checkpoint("bert"))
        cached = Machine(tmp_path / "home", hub.url).open(NAME)
    with refusing() as address:
        failed = Machine(tmp_path / "empty", f"http://{address}").open(NAME, at_once=True)
        assert failed["error"] == "HubError"
        assert "the hub cannot be reached" in failed["message"]
        assert Machine(tmp_path / "home", f"http://{address}").open(NAME, at_once=True) == cached


def test_a_silent_hub_is_not_waited_for(hub: Hub, machine: Machine, tmp_path: Path) -> None:
    """A hub that takes the question and never answers is given up after HF_HUB_ETAG_TIMEOUT; the cache then serves."""
    cached = machine.open(NAME)
    impatient = {"HF_HUB_ETAG_TIMEOUT": "1"}
    with hub.silence():
        failed = Machine(tmp_path / "empty", hub.url, impatient).open(NAME)
        assert failed["error"] == "HubError"
        assert "does not answer in time" in failed["message"]
        assert Machine(machine.home, hub.url, impatient).open(NAME) == cached


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (Answer(500), "HubError", "the hub answers 500"),
        (Answer(503), "HubError", "the hub answers 503"),
        (Answer(429), "HubError", "the hub answers 429"),
        (Answer(404, "RepoNotFound"), "ModelNotFoundError", "has no model"),
        (Answer(401), "ModelNotFoundError", "HF_TOKEN"),
        (Answer(401, "GatedRepo"), "HubError", "is gated"),
        (Answer(200, body=b"<html>Please log in to our Wi-Fi</html>"), "HubError", "no model hub"),
        (Answer(200, body=b"{}"), "HubError", "no model hub"),
    ],
)
def test_what_the_hub_answers_is_told(answer: Answer, error: str, says: str, hub: Hub, machine: Machine) -> None:
    """Every refusal of the hub becomes an error of ours that names the model and the cause."""
    hub.answers["/api/models/"] = answer
    failed = machine.open(NAME)
    assert failed["error"] == error
    assert says in failed["message"]
    assert NAME in failed["message"]


def test_a_failing_hub_does_not_matter_to_a_cached_model(hub: Hub, machine: Machine) -> None:
    """A model in the cache opens while the hub answers errors or nonsense."""
    cached = machine.open(NAME)
    for answer in (Answer(500), Answer(200, body=b"<html>")):
        hub.answers["/api/models/"] = answer
        assert machine.open(NAME) == cached


def test_an_unknown_model_comes_with_a_suggestion(machine: Machine) -> None:
    """A name without its owner suggests the model that it ends."""
    failed = machine.open("bge-reranker-base")
    assert failed["error"] == "ModelNotFoundError"
    assert "Did you mean 'BAAI/bge-reranker-base'" in failed["message"]


@pytest.mark.parametrize("spec", ["a/b/c", "what is this?", "owner/", "-x/y", "a" * 120])
def test_an_invalid_name_is_told_from_a_missing_one(spec: str, hub: Hub, machine: Machine) -> None:
    """A name that the hub cannot have is refused without asking it."""
    failed = machine.open(spec)
    assert failed["error"] == "ModelNotFoundError"
    assert "'owner/name'" in failed["message"]
    assert hub.requests == []


def test_a_gated_model_says_how_to_get_in(hub: Hub, machine: Machine) -> None:
    """A model that is listed but whose files need accepted terms names the page and the login."""
    hub.answers["/resolve/"] = Answer(403, "GatedRepo")
    failed = machine.open(NAME)
    assert failed["error"] == "HubError"
    assert "accept its terms" in failed["message"]
    assert "hf auth login" in failed["message"]


def test_a_connection_that_breaks_once_does_not_matter(hub: Hub, machine: Machine) -> None:
    """A download that ends in the middle is tried again."""
    hub.cut_times["model.safetensors"] = 1
    assert "logits" in machine.open(NAME)


def test_a_download_that_never_ends_well_leaves_nothing_half_written(hub: Hub, machine: Machine) -> None:
    """The failure is ours and says so; offline it stays one; once the hub works the next try succeeds."""
    hub.cut_times["model.safetensors"] = 1000
    failed = machine.open(NAME)
    assert failed["error"] == "HubError"
    assert "could not be downloaded" in failed["message"]
    assert "not in the local cache (or only in part)" in machine.open(NAME, offline=True)["message"]
    hub.cut_times.clear()
    assert "logits" in machine.open(NAME)


def test_a_short_file_is_not_taken_for_the_whole(hub: Hub, machine: Machine) -> None:
    """A file that arrives shorter than announced is refused, and fetched again the next time."""
    hub.short.add("model.safetensors")
    failed = machine.open(NAME)
    assert failed["error"] == "HubError"
    assert "model.safetensors" in failed["message"]
    hub.short.clear()
    assert "logits" in machine.open(NAME)


@pytest.mark.parametrize("home", ["file/below", "/proc/no-such-folder"])
def test_a_cache_that_cannot_be_made_is_named(home: str, hub: Hub, tmp_path: Path) -> None:
    """A cache folder below a file or in a kernel's folder: the error names HF_HOME."""
    (tmp_path / "file").touch()
    failed = Machine(tmp_path / home, hub.url).open(NAME)
    assert failed["error"] == "HubError"
    assert "cache folder cannot be written" in failed["message"]
    assert "HF_HOME" in failed["message"]


@pytest.mark.parametrize("mounted", ["read-only"], indirect=True)
def test_a_read_only_cache_is_named(mounted: Path, hub: Hub) -> None:
    """The error of a read-only disk names HF_HOME."""
    failed = Machine(mounted / "home", hub.url).open(NAME)
    assert failed["error"] == "HubError"
    assert "cache folder cannot be written" in failed["message"]


@pytest.mark.parametrize("mounted", ["full"], indirect=True)
def test_a_full_disk_is_named(mounted: Path, hub: Hub) -> None:
    """The error of a full disk says so; with room again the next try succeeds."""
    ballast = mounted / "ballast"
    ballast.write_bytes(b"\0" * 40_000)
    machine = Machine(mounted / "home", hub.url)
    failed = machine.open(NAME)
    assert failed["error"] == "HubError"
    assert "the disk refuses it (No space left on device)" in failed["message"]
    ballast.unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", mounted], check=True)
    assert "logits" in machine.open(NAME)


def test_an_endpoint_that_is_no_address_is_an_error_of_ours(tmp_path: Path) -> None:
    """A mistyped HF_ENDPOINT is named."""
    failed = Machine(tmp_path, "my-mirror").open(NAME)
    assert failed["error"] == "HubError"
    assert "HF_ENDPOINT" in failed["message"]
