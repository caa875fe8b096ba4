#!/usr/bin/env python3
"""Carries images and wheels, by digest and hash, to where no registry can be reached.

    mirror.py list
    mirror.py images --to oci:FOLDER | docker://REGISTRY/PREFIX [--from docker://REGISTRY/PREFIX | …] [IMAGE…]
    mirror.py wheels --to FOLDER [--lock FILE]… [--python 3.13 --platform manylinux_2_28_x86_64…]
    mirror.py check FOLDER

Needs Python's standard library, pip, and for images one of skopeo, crane, podman. What was carried is
written to `images.json` and `SHA256SUMS` beside it, which `check` holds the files against on the other side.
No wheel is carried that a lock does not know by hash. Nothing is signed, and no credentials are asked for:
log in with the tool itself.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
LOCKS = HERE.parent / "images" / "locks"
SUMS = "SHA256SUMS"
IMAGES = "images.json"
TOOLS = ("skopeo", "crane", "podman")


class Wrong(Exception):
    """What a person has to correct."""


def names(asked: Sequence[str]) -> list[str]:
    """Images that were asked for, or those of the list."""
    if asked:
        return list(asked)
    lines = (HERE / "images.txt").read_text("utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def images(source: str, target: str, asked: Sequence[str], tool: str | None) -> dict[str, str]:
    """Copy images; returns the digest of each where it is now."""
    program = tool or next((name for name in TOOLS if shutil.which(name)), None)
    if program is None or shutil.which(program) is None:
        raise Wrong(f"None of {', '.join(TOOLS)} is installed; one of them copies images.")
    found = {}
    for image in names(asked):
        found[image] = _copy(program, _place(source, image), _place(target, image))
        sys.stderr.write(f"{image}: {found[image]}\n")
    return found


def _place(where: str, image: str) -> str:
    """An image's address: below a registry's prefix, in a folder of its own, or in an engine's storage."""
    if where.startswith("oci:"):
        folder, _, tag = image.rpartition(":")
        return f"{where}/{folder}:{tag}"
    if where.startswith("containers-storage:"):
        return f"{where}{image}" if "/" in image else f"{where}docker.io/library/{image}"
    if where.startswith("docker://"):
        return f"{where.rstrip('/')}/{image}"
    raise Wrong(
        f"`{where}` is no place for images: name oci:FOLDER, docker://REGISTRY or containers-storage:."
    )


def _copy(program: str, source: str, target: str) -> str:
    if target.startswith("oci:"):
        Path(target[4:].rpartition(":")[0]).mkdir(parents=True, exist_ok=True)
    if program == "skopeo":
        _run([program, "copy", "--preserve-digests", source, target])
        return _run([program, "inspect", "--format", "{{.Digest}}", target]).strip()
    if program == "crane":
        if not (source.startswith("docker://") and target.startswith("docker://")):
            raise Wrong("crane copies between registries only: install skopeo for folders.")
        _run([program, "copy", source[9:], target[9:]])
        return _run([program, "digest", target[9:]]).strip()
    local = source.removeprefix("containers-storage:").removeprefix("docker://")
    if not source.startswith("containers-storage:"):
        _run([program, "pull", source])
    _run([program, "push", local, target])
    return _run([program, "image", "inspect", "--format", "{{.Digest}}", local]).strip()


def wheels(target: Path, locks: Sequence[Path], python: str | None, platforms: Sequence[str]) -> int:
    """Download every wheel that the locks name, for this Python or another; returns how many there are."""
    target.mkdir(parents=True, exist_ok=True)
    other = ["--python-version", python] if python else []
    other += [part for platform in platforms for part in ("--platform", platform)]
    for lock in locks:
        if not lock.is_file():
            there = ", ".join(sorted(file.name for file in LOCKS.glob("*.lock")))
            raise Wrong(f"There is no lock {lock}; in {LOCKS} are {there}.")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--require-hashes", "--no-deps", "--only-binary=:all:", "--dest", str(target)]
        _run([*command, *other, "--requirement", str(lock)])
    return sum(1 for _ in target.glob("*.whl"))


def write_sums(folder: Path) -> None:
    """Digests of all files of a folder, as `sha256sum --check` reads them."""
    lines = [f"{_digest(file)}  {file.relative_to(folder).as_posix()}\n" for file in _files(folder)]
    (folder / SUMS).write_text("".join(lines), "utf-8")


def check(folder: Path) -> list[str]:
    """What is not as it was written down."""
    if not (folder / SUMS).is_file():
        raise Wrong(f"{folder} has no {SUMS}: it was not carried by this script, or not to its end.")
    lines = (folder / SUMS).read_text("utf-8").splitlines()
    noted = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    there = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    wrong = [f"{name} is missing" for name in sorted(noted.keys() - there.keys())]
    wrong += [f"{name} was added" for name in sorted(there.keys() - noted.keys())]
    changed = [name for name, file in there.items() if name in noted and _digest(file) != noted[name]]
    return wrong + [f"{name} was changed" for name in sorted(changed)]


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != SUMS)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a tool of theirs
    if done.returncode:
        raise Wrong(f"`{' '.join(command)}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def listing() -> str:
    """Images and locked packages, for whoever has to allow them."""
    found = ["# images", *names([])]
    for lock in sorted(LOCKS.glob("*.lock")):
        packages = re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", lock.read_text("utf-8"), re.MULTILINE)
        found += [f"# wheels of {lock.name}: {len(packages)}", *packages]
    return "\n".join(found) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    doing = parser.add_subparsers(dest="what", required=True)
    doing.add_parser("list")
    copying = doing.add_parser("images")
    copying.add_argument("--from", dest="source", default="containers-storage:")
    copying.add_argument("--to", required=True)
    copying.add_argument("--tool", choices=TOOLS)
    copying.add_argument("image", nargs="*")
    fetching = doing.add_parser("wheels")
    fetching.add_argument("--to", type=Path, required=True)
    fetching.add_argument("--lock", type=Path, action="append")
    fetching.add_argument("--python")
    fetching.add_argument("--platform", action="append", default=[])
    doing.add_parser("check").add_argument("folder", type=Path)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.what == "list":
            sys.stdout.write(listing())
        elif options.what == "images":
            found = images(options.source, options.to, options.image, options.tool)
            if options.to.startswith("oci:"):
                folder = Path(options.to[4:])
                (folder / IMAGES).write_text(json.dumps(found, indent=2) + "\n", "utf-8")
                write_sums(folder)
        elif options.what == "wheels":
            number = wheels(
                options.to, options.lock or [LOCKS / "console.lock"], options.python, options.platform
            )
            write_sums(options.to)
            sys.stderr.write(f"{number} wheels in {options.to}\n")
        else:
            wrong = check(options.folder)
            sys.stderr.writelines(f"{problem}\n" for problem in wrong)
            return int(bool(wrong))
    except Wrong as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
