"""`make images`: builds the images with docker, podman or buildah and prints their sizes.

Fetches the packages (see wheels.py), takes BASE_IMAGE, or the archive that base.sh made, or the public
image that the Containerfiles name, and leaves each image's bill of materials in build/images. Pushing and
signing are left to whoever releases.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import wheels

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "images"
ENGINES = ("docker", "podman", "buildah")
LOCAL_BASE = "pilotage/base:trixie"
EPOCH = "1767225600"
"""2026-01-01: the time of all files, unless SOURCE_DATE_EPOCH says another."""


@dataclass(frozen=True)
class Image:
    """An image of ours."""

    name: str
    """In the registry, without its tag."""
    room: str
    """The folder of its Containerfile."""
    extra: str
    """The lock of what it has."""
    suffix: str = ""
    """Of its tag."""


IMAGES = {
    "serving": Image("pilotage/serving", "serving", "serving"),
    "components": Image("pilotage/components-python", "components", "components"),
    "console": Image("pilotage/console", "console", "console"),
    "estimators": Image("pilotage/serving", "serving", "estimators", "-estimators"),
}
BY_DEFAULT = ("serving", "components", "console")


class Engine:
    """What builds."""

    def __init__(self, program: str, epoch: str) -> None:
        self.program = program
        self._epoch = epoch

    def build(self, tag: str, file: Path, context: Path, arguments: dict[str, str]) -> None:
        """Build an image of `context`, the same bytes for the same inputs as far as the engine can."""
        words = ["buildx", "build", "--load"] if self.program == "docker" else ["build", "--layers=false"]
        if self.program != "docker":
            words += ["--timestamp", self._epoch, "--format", "oci"]
            words += ["--isolation", os.environ.get("BUILDAH_ISOLATION", "oci")]
        for name, value in arguments.items():
            words += ["--build-arg", f"{name}={value}"]
        words += ["--tag", tag, "--file", str(file), str(context)]
        done = subprocess.run([self.program, *words], stdout=sys.stderr, cwd=ROOT, check=False)  # noqa: S603
        if done.returncode:
            raise SystemExit(f"{self.program} could not build {tag}: exit code {done.returncode}.")

    def run(self, *words: str) -> str:
        """Run the engine; its standard output."""
        done = subprocess.run(  # noqa: S603 - one of ENGINES
            [self.program, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
        if done.returncode:
            raise SystemExit(f"`{self.program} {' '.join(words)}` failed with exit code {done.returncode}.")
        return done.stdout

    def has(self, tag: str) -> bool:
        """Whether an image of that name is here."""
        words = ["inspect", "--type", "image", tag]
        return subprocess.run([self.program, *words], capture_output=True, check=False).returncode == 0  # noqa: S603

    def inspect(self, tag: str, template: str) -> str:
        """What the engine knows of an image."""
        return self.run("inspect", "--type", "image", "--format", template, tag).strip()

    def unpack(self, tag: str) -> _Unpacked:
        """The files of an image, for as long as the block lasts."""
        return _Unpacked(self, tag)


class _Unpacked:
    def __init__(self, engine: Engine, tag: str) -> None:
        self._engine, self._tag = engine, tag
        self._tree: Path | None = None

    def __enter__(self) -> Path:
        """The image mounted by buildah; exported from a container that never runs by the others."""
        if self._engine.program == "buildah":
            self._container = self._engine.run("from", self._tag).strip()
            return Path(self._engine.run("mount", self._container).strip())
        self._container = self._engine.run("create", self._tag).strip()
        self._tree = PLACE / f".tree-{os.getpid()}"
        self._tree.mkdir(parents=True)
        archive = self._tree.with_suffix(".tar")
        self._engine.run("export", "--output", str(archive), self._container)
        subprocess.run(["tar", "-C", str(self._tree), "-xf", str(archive)], check=True)  # noqa: S603, S607
        archive.unlink()
        return self._tree

    def __exit__(self, *_: object) -> None:
        self._engine.run("rm", self._container)
        if self._tree is not None:
            shutil.rmtree(self._tree)


def main() -> None:
    """Build what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", default=BY_DEFAULT, help=f"of {', '.join(IMAGES)}")
    parser.add_argument("--engine", help="docker, podman or buildah; the first that works here when left out")
    parser.add_argument("--base", help="the base image, with Python 3.13")
    parser.add_argument("--tag", help="pyproject.toml's version when left out")
    parser.add_argument(
        "--prefix", default="", help="before the images' names, such as registry.example/team/"
    )
    options = parser.parse_args()
    unknown = [name for name in options.images if name not in IMAGES]
    if unknown:
        raise SystemExit(f"There is no image `{unknown[0]}`; there are {', '.join(IMAGES)}.")
    epoch = os.environ.get("SOURCE_DATE_EPOCH", EPOCH)
    engine = Engine(_program(options.engine), epoch)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    arguments = {"SOURCE_DATE_EPOCH": epoch, "VERSION": version, "REVISION": _revision()}
    base = _base(engine, options.base)
    if base:
        arguments["BASE_IMAGE"] = base
    for name in options.images:
        image = IMAGES[name]
        tag = f"{options.prefix}{image.name}:{options.tag or version}{image.suffix}"
        _build(engine, name, image, tag, arguments)


def _build(engine: Engine, name: str, image: Image, tag: str, arguments: dict[str, str]) -> None:
    started = time.monotonic()
    wheels.fetch(image.extra, _machine(), PLACE / "wheels")
    fetched = time.monotonic()
    file = ROOT / image.room / "Containerfile"
    engine.build(tag, file, ROOT, {**arguments, "EXTRA": image.extra})
    built = time.monotonic()
    with engine.unpack(tag) as tree:
        size = sum(
            path.lstat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()
        )
        bill = tree / "usr/share/sbom" / f"pilotage-{image.room}.cdx.json"
        shutil.copyfile(bill, PLACE / f"{name}.cdx.json")
    facts = {
        "image": tag,
        "id": engine.inspect(tag, "{{.Id}}" if engine.program != "buildah" else "{{.FromImageID}}"),
        "megabytes": round(size / 1e6, 1),
        "fetch_seconds": round(fetched - started, 1),
        "build_seconds": round(built - fetched, 1),
        "sbom": str((PLACE / f"{name}.cdx.json").relative_to(ROOT)),
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _program(wanted: str | None) -> str:
    """The engine to build with: the one that is wanted, else the first that answers."""
    reasons = []
    for name in [wanted] if wanted else ENGINES:
        if shutil.which(name) is None:
            reasons.append(f"{name} is not installed")
            continue
        answer = subprocess.run(  # noqa: S603 - one of ENGINES
            [name, "info"], capture_output=True, text=True, timeout=60, check=False
        )
        if answer.returncode == 0:
            return name
        said = answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"]
        reasons.append(f"{name} does not work here ({said[-1]})")
    raise SystemExit(f"There is nothing to build images with: {'; '.join(reasons)}.")


def _base(engine: Engine, wanted: str | None) -> str:
    """The base image; empty for the one that the Containerfiles name."""
    if wanted:
        return wanted
    archive = PLACE / "base.tar"
    if not archive.is_file():
        return ""
    context = PLACE / "base"
    context.mkdir(exist_ok=True)
    linked = context / "base.tar"
    linked.unlink(missing_ok=True)
    os.link(archive, linked)
    engine.build(LOCAL_BASE, Path(__file__).parent / "base" / "Containerfile", context, {})
    return f"localhost/{LOCAL_BASE}" if engine.program != "docker" else LOCAL_BASE


def _machine() -> str:
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine().lower(), platform.machine())


def _revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
