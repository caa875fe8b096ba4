"""Where releases may go, and which names get into paths, branches and refs."""

from __future__ import annotations

from pathlib import Path

import pytest
from dulwich.repo import Repo

from pilotage.core import errors
from pilotage.pipelines.releases import places
from pilotage.pipelines.releases.places import Kind


@pytest.mark.parametrize(
    ("text", "kind", "location", "user", "path"),
    [
        ("https://git.example/ops/a.git", Kind.HTTP, "https://git.example/ops/a.git", "", "/ops/a.git"),
        ("https://bot@git.example:8443/live/", Kind.HTTP, "https://git.example:8443/live", "bot", "/live"),
        ("http://127.0.0.1:3000/live.git", Kind.HTTP, "http://127.0.0.1:3000/live.git", "", "/live.git"),
        ("ssh://me@git.example:22/live.git", Kind.SSH, "ssh://me@git.example:22/live.git", "me", "/live.git"),
        ("git@git.example:ops/live.git", Kind.SSH, "git@git.example:ops/live.git", "git", "ops/live.git"),
    ],
    ids=["https", "user and port", "loopback", "ssh", "scp"],
)  # fmt: skip
def test_a_url_is_a_repository_elsewhere(text: str, kind: Kind, location: str, user: str, path: str):
    place = places.parse(text)
    assert (place.kind, place.location, place.user, place.path) == (kind, location, user, path)
    assert place.is_remote


def test_a_folder_is_a_repository_when_git_says_so(tmp_path: Path):
    for name in ("bare", "tree", "plain"):
        (tmp_path / name).mkdir()
    Repo.init_bare(tmp_path / "bare").close()
    Repo.init(tmp_path / "tree").close()
    kinds = [places.parse(str(tmp_path / name)).kind for name in ("bare", "tree", "plain", "none")]
    assert kinds == [Kind.DISK, Kind.DISK, Kind.FOLDER, Kind.FOLDER]
    assert places.parse(f"file://{tmp_path}/bare").location == str(tmp_path / "bare")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a b", "has spaces"),
        ("https://user:pass-word@git.example.org/live", "has a password in it"),
        ("ssh://user:pass-word@git.example.org/live", "has a password in it"),
        ("http://git.example.org/live", "is not encrypted"),
        ("https:///live", "has no host"),
        ("https://git.example.org:port/live", "has no port"),
        ("https://git.example.org/live?x=1", "has a query"),
        ("ssh://-oProxyCommand=id/live", "has no host or no path"),
        ("ext::sh -c id", "has spaces"),
        ("git://git.example.org/live", "has the scheme `git`"),
    ],
)
def test_what_is_no_place_is_said_without_its_secret(text: str, said: str):
    with pytest.raises(errors.SettingsError) as caught:
        places.parse(text)
    assert said in str(caught.value)
    assert "pass-word" not in str(caught.value)


def test_a_file_is_no_place(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.SettingsError, match="is a file"):
        places.parse(str(tmp_path / "file"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "-rf",
        "a-",
        "A",
        "_hostile",
        "a_b",
        "a\n",
        "a\0",
        "é",
        "x" * 64,
        ".git",
        "a.lock",
    ],
)
def test_a_hostile_name_never_gets_into_a_path_or_a_branch(name: str):
    for make in (places.values_of, places.folder_of):
        with pytest.raises(errors.SettingsError):
            make(name, "flights")
        with pytest.raises(errors.SettingsError):
            make("production", name)
    with pytest.raises(errors.SettingsError):
        places.branch_of(name, "flights", "v1")
    assert not places.is_name(name)


def test_a_pilots_files_are_where_the_guides_say():
    assert (
        places.values_of("production", "flight-delay") == "environments/production/flight-delay/values.yaml"
    )
    assert places.branch_of("production", "flight-delay", "v7") == "pilotage/production/flight-delay/v7"


@pytest.mark.parametrize("name", ["main", "release/2026", "a.b"])
def test_a_branch_that_git_takes_is_taken(name: str):
    assert places.require_branch(name) == name


@pytest.mark.parametrize(
    "name", ["-x", "a..b", "a b", "a//b", "/a", "a/", ".a", "a.lock", "a~1", "@", "a@{1}", "a\\b"]
)
def test_a_branch_that_git_refuses_is_refused(name: str):
    with pytest.raises(errors.SettingsError):
        places.require_branch(name)
