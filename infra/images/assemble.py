"""Puts together what an image adds to its base, in the build stage of a Containerfile, under /image.

One virtual environment with the locked packages, by hash and offline, and Pilotage's own wheel; without what
is never loaded (see slim.py); with bytecode that holds whatever times its files get; a bill of materials; and
the user. Everything has the time SOURCE_DATE_EPOCH, so that the same inputs give the same bytes.
It needs Python alone: pip is run out of its own wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import inventories
import slim

ROOMS = ("core", "components", "pipelines", "serving", "console")
VERSION = (3, 13)
BUILD = Path("/build")
"""Holds `source`, pyproject.toml and every room; `wheels`, a folder a lock; and `infra`, this one."""
ENVIRONMENT = Path("/opt/pilotage")
"""Where the virtual environment is, here and in the image: its paths are written into it."""
TOOLS = BUILD / "tools"
SETUPTOOLS = BUILD / "setuptools"
"""Alone: what else a build can import counts as installed already."""
LOCKS = Path(__file__).parent / "locks"
IMAGE = Path("/image")
UID = 10001
HOME = "var/lib/pilotage"


def main() -> None:
    """Fill /image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True, help="of the image")
    parser.add_argument("--commands", nargs="*", default=(), help="console scripts that the image keeps")
    parser.add_argument("--without", nargs="*", default=(), help="Debian packages that harden.py removes")
    parser.add_argument(
        "--probe", help="prints the files of the modules that deserve bytecode; all when left out"
    )
    options = parser.parse_args()
    check()
    pip = install_tools()
    own = build_wheel()
    python = install(pip, os.environ["EXTRA"], own)
    version = own.name.split("-")[1]
    slim.slim(site_packages(ENVIRONMENT))
    link_openmp()
    keep_commands(options.commands)
    compile_all(python)
    if options.probe:
        found = subprocess.run(  # noqa: S603 - a file of ours
            [python, "-B", "-I", BUILD / "infra" / options.probe], stdout=subprocess.PIPE, check=True
        )
        slim.keep_bytecode(site_packages(ENVIRONMENT), set(found.stdout.decode().split("\n")))
    folder = IMAGE / "usr/share/sbom"
    folder.mkdir(parents=True)
    document = inventories.document(options.name, version, ENVIRONMENT, TOOLS, options.without)
    (folder / f"pilotage-{options.name}.cdx.json").write_text(json.dumps(document, indent=1) + "\n")
    add_user()
    shutil.copytree(ENVIRONMENT, IMAGE / ENVIRONMENT.relative_to("/"), symlinks=True)
    clamp(int(os.environ["SOURCE_DATE_EPOCH"]))


def check() -> None:
    """Refuse a base of another Python, and a context without a room: its wheel would only be smaller."""
    if sys.version_info[:2] != VERSION:
        raise SystemExit(
            f"BASE_IMAGE has Python {sys.version_info.major}.{sys.version_info.minor}, the locks are for"
            f" {VERSION[0]}.{VERSION[1]}."
        )
    lacking = [
        room for room in ROOMS if not (BUILD / "source" / room / "pilotage" / room / "py.typed").is_file()
    ]
    if lacking:
        raise SystemExit(f"The build context lacks {', '.join(lacking)}: build from the repository's root.")


def run(*words: object, cwd: Path | None = None, **variables: str) -> None:
    """Run a command of Python's, offline, without anybody's configuration."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_NO_CACHE_DIR": "1"}
    environment |= {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "HOME": str(BUILD),
    }
    command = [str(word) for word in words]
    subprocess.run(command, check=True, cwd=cwd, env=environment | variables)  # noqa: S603


def install_tools() -> Path:
    """What builds, beside the environment; returns pip's wheel, which is run as it is."""
    wheels = BUILD / "wheels" / "tools"
    (wheel,) = wheels.glob("pip-*.whl")
    pip = wheel / "pip"
    run(
        *(sys.executable, "-B", pip, "install", "--quiet", "--no-compile", "--no-deps", "--require-hashes"),
        *(
            "--only-binary",
            ":all:",
            "--find-links",
            wheels,
            "--target",
            TOOLS,
            "--requirement",
            LOCKS / "tools.lock",
        ),
    )
    SETUPTOOLS.mkdir()
    for path in [*TOOLS.glob("setuptools*"), *TOOLS.glob("pkg_resources"), *TOOLS.glob("_distutils_hack")]:
        path.rename(SETUPTOOLS / path.name)
    return pip


def build_wheel() -> Path:
    """Pilotage's own wheel, with every room."""
    out = BUILD / "wheel"
    run(
        *(sys.executable, "-B", "-m", "hatchling", "build", "--target", "wheel", "--directory", out),
        cwd=BUILD / "source",
        PYTHONPATH=str(TOOLS),
    )
    (wheel,) = out.glob("pilotage-*.whl")
    return wheel


def install(pip: Path, lock: str, own: Path) -> Path:
    """The locked packages and Pilotage in a new virtual environment; returns its Python."""
    run(sys.executable, "-B", "-m", "venv", "--without-pip", ENVIRONMENT)
    python = ENVIRONMENT / "bin" / "python"
    common = (
        sys.executable,
        "-B",
        pip,
        "--python",
        python,
        "install",
        "--quiet",
        "--no-compile",
        "--no-deps",
    )
    run(
        *(*common, "--require-hashes", "--no-build-isolation", "--find-links", BUILD / "wheels" / lock),
        *("--requirement", LOCKS / f"{lock}.lock"),
        PYTHONPATH=str(SETUPTOOLS),
    )
    run(*common, own)
    for file in site_packages(ENVIRONMENT).glob("*/direct_url.json"):  # where this build took it from
        file.unlink()
    run(sys.executable, "-B", pip, "--python", python, "check")
    return python


def site_packages(environment: Path) -> Path:
    """Where the packages of a virtual environment are."""
    return environment / "lib" / f"python{VERSION[0]}.{VERSION[1]}" / "site-packages"


def link_openmp() -> None:
    """Let LightGBM, which asks the system for OpenMP, find the library that scikit-learn brings."""
    for library in site_packages(ENVIRONMENT).glob("scikit_learn.libs/libgomp*.so*"):
        (ENVIRONMENT / "lib" / "libgomp.so.1").symlink_to(library)


def keep_commands(names: tuple[str, ...]) -> None:
    """Leave Python and the named scripts in `bin`: nobody activates an environment here."""
    for path in (ENVIRONMENT / "bin").iterdir():
        if path.name not in names and not path.name.startswith("python"):
            path.unlink()
    shutil.rmtree(ENVIRONMENT / "include", ignore_errors=True)


def compile_all(python: Path) -> None:
    """Bytecode beside the sources, for a root that cannot be written to.

    In one process and without random hashes: the order of sets, and what objects modules share, are in it.
    """
    code = (
        "import compileall, py_compile, sys; compileall.compile_dir(sys.argv[1], quiet=2, force=True,"
        " invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)"
    )
    run(python, "-B", "-c", code, site_packages(ENVIRONMENT), PYTHONHASHSEED="0")


def add_user() -> None:
    """An entry for the image's user in the base's tables, and its home."""
    (IMAGE / "etc").mkdir()
    lines = {
        "passwd": f"pilotage:x:{UID}:{UID}:Pilotage:/{HOME}:/usr/sbin/nologin\n",
        "group": f"pilotage:x:{UID}:\n",
    }
    for table, line in lines.items():
        (IMAGE / "etc" / table).write_text((Path("/etc") / table).read_text() + line)
    home = IMAGE / HOME
    home.mkdir(parents=True)
    os.chown(home, UID, UID)
    home.chmod(0o750)


def clamp(seconds: int) -> None:
    """Give everything in /image one time."""
    for folder, folders, names in os.walk(IMAGE, topdown=False):
        for name in [*names, *folders]:
            os.utime(Path(folder) / name, (seconds, seconds), follow_symlinks=False)


if __name__ == "__main__":
    main()
