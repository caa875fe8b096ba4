"""What is carried to where no registry can be reached arrives whole, and installs without one."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

MIRROR = Path("infra") / "mirror" / "mirror.py"
PACKAGES = ("editables", "cronsim")
"""Small, pure, and in the lock."""


def mirror(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repository / MIRROR), *arguments], capture_output=True, text=True, timeout=200
    )


def lock_of(repository: Path, folder: Path, names: tuple[str, ...] = PACKAGES) -> Path:
    """The lines of the lock about a few packages, whose hashes are all that is believed."""
    text = (repository / "requirements.lock").read_text()
    parts = [re.search(rf"^{name}==(?:.*\\\n)*.*\n", text, re.MULTILINE) for name in names]
    file = folder / "small.lock"
    file.write_text("".join(part[0] for part in parts if part is not None))
    assert file.read_text().count("--hash=") >= len(names)
    return file


@pytest.mark.slow
def test_wheels_are_carried_by_hash_and_install_offline(repository: Path, tmp_path: Path) -> None:
    lock, wheels = lock_of(repository, tmp_path), tmp_path / "wheels"
    done = mirror(repository, "wheels", "--to", str(wheels), "--lock", str(lock))
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package registry can be reached")
    assert done.returncode == 0, done.stderr
    assert len(list(wheels.glob("*.whl"))) == len(PACKAGES)
    assert mirror(repository, "check", str(wheels)).returncode == 0
    install = [
        *("-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels)),
        "--require-hashes",
    ]
    offline = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    target = tmp_path / "there"
    done = subprocess.run(
        [sys.executable, *install, "--target", str(target), "--requirement", str(lock)],
        env=offline, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (target / "cronsim").is_dir()


@pytest.mark.slow
def test_a_wheel_that_the_lock_does_not_know_is_not_carried(repository: Path, tmp_path: Path) -> None:
    lock = lock_of(repository, tmp_path, ("cronsim",))
    lock.write_text(re.sub(r"sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", lock.read_text()))
    done = mirror(repository, "wheels", "--to", str(tmp_path / "wheels"), "--lock", str(lock))
    assert done.returncode == 2
    assert "HASH" in done.stderr.upper() or "No matching distribution" in done.stderr


def test_what_was_changed_on_the_way_is_told(repository: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("mirror", repository / MIRROR)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in ("a.whl", "b.whl", "sub/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    done = mirror(repository, "check", str(tmp_path))
    assert (done.returncode, "was not carried by this script" in done.stderr) == (2, True)
    script.write_sums(tmp_path)
    assert mirror(repository, "check", str(tmp_path)).returncode == 0
    (tmp_path / "a.whl").write_text("other")
    (tmp_path / "b.whl").unlink()
    (tmp_path / "d.whl").write_text("new")
    done = mirror(repository, "check", str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "b.whl is missing\nd.whl was added\na.whl was changed\n")


@pytest.mark.images
def test_images_are_carried_with_their_digests(repository: Path, tmp_path: Path) -> None:
    """From one folder of images to another, as a registry would give and take them."""
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed: `apt-get install skopeo`")
    given, carried = tmp_path / "given", tmp_path / "carried"
    made = _image(given / "pilotage" / "console", "0.1.0")
    done = mirror(
        repository, "images", "--from", f"oci:{given}", "--to", f"oci:{carried}", "pilotage/console:0.1.0"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((carried / "images.json").read_text()) == {"pilotage/console:0.1.0": made}
    assert mirror(repository, "check", str(carried)).returncode == 0
    done = mirror(repository, "images", "--from", f"oci:{given}", "--to", f"oci:{carried}", "pilotage/none:1")
    assert (done.returncode, "failed" in done.stderr) == (2, True)


def _image(folder: Path, tag: str) -> str:
    """An image of one empty layer in OCI's layout; returns its digest."""
    import gzip
    import hashlib

    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    empty = b"\0" * 1024
    layer = {
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        **blob(gzip.compress(empty, mtime=0)),
    }
    diff = f"sha256:{hashlib.sha256(empty).hexdigest()}"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff]},
    }
    described = {"mediaType": "application/vnd.oci.image.config.v1+json", **blob(json.dumps(config).encode())}
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": [layer]}
    found = {"mediaType": kind, **blob(json.dumps(manifest).encode())}
    annotated = {**found, "annotations": {"org.opencontainers.image.ref.name": tag}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [annotated]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(found["digest"])


def test_the_list_has_every_image_that_charts_name(repository: Path) -> None:
    listed = mirror(repository, "list").stdout
    wanted = set()
    for values in (repository / "charts").glob("*/values.yaml"):
        wanted |= images_of(yaml.safe_load(values.read_text()))
    assert {"pilotage/console:0.1.0", "pilotage/serving:0.1.0", "pilotage/components-python:0.1.0"} <= wanted
    images = listed.split("# wheels")[0].splitlines()[1:]
    assert set(images) == wanted
    assert "onnxruntime==" in listed


def images_of(values: object) -> set[str]:
    """Images that a chart's values name."""
    if not isinstance(values, dict):
        return set()
    found = set()
    if isinstance(values.get("repository"), str) and "tag" in values:
        found.add(f"{values['repository']}:{values['tag']}")
    if isinstance(values.get("componentsImage"), str):
        found.add(values["componentsImage"])
    return found.union(*(images_of(value) for value in values.values()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["wheels", "--to", "x", "--lock", "none.lock"], "There is no lock none.lock"),
        (["images", "--to", "somewhere", "a:1"], "is no place for images"),
    ],
    ids=["lock", "place"],
)
def test_what_cannot_be_done_is_said(
    repository: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = subprocess.run(
        [sys.executable, str(repository / MIRROR), *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
