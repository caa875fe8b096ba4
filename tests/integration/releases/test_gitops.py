"""What Argo CD and Flux make of a repository that releases were written to, and what they may do."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.charts import rendering
from tests.integration.releases.installations import commit_files, git, show

from pilotage.core.settings import Settings
from pilotage.pipelines import releases
from pilotage.pipelines.releases import places

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not here")
GITOPS = Path(__file__).parents[3] / "infra" / "gitops"
Document = dict[str, Any]


def closed(part: Any) -> Any:
    """The schema with every object closed that lists its keys."""
    if isinstance(part, list):
        return [closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: closed(value) for key, value in part.items()}
    if isinstance(part.get("properties"), dict):
        made.setdefault("additionalProperties", False)
    return made


def schemas() -> dict[str, Any]:
    """Schemas of specs, by group, version and kind."""
    content = yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text())
    definitions = {**content["definitions"], "application": content["application"]}
    return {
        kind: {**closed(spec), "definitions": closed(definitions)} for kind, spec in content["kinds"].items()
    }


def documents(folder: Path) -> Iterator[tuple[Path, Document]]:
    """Every manifest below a folder but kustomize's own."""
    for path in sorted(folder.rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if not document["apiVersion"].startswith("kustomize.config.k8s.io"):
                yield path, document


def one(name: str) -> Document:
    found: Document = yaml.safe_load((GITOPS / name).read_text())
    return found


MANIFESTS = [
    pytest.param(document, id=f"{path.stem} {document['metadata']['name']}")
    for path, document in documents(GITOPS)
]


@pytest.mark.parametrize("document", MANIFESTS)
def test_every_manifest_has_the_shape_of_its_kind(document: Document):
    kind = f"{document['apiVersion']} {document['kind']}"
    assert kind in schemas(), "look the kind up and add it to kinds.yaml"
    jsonschema.validate(document["spec"], schemas()[kind])
    assert document["metadata"].keys() <= {"name", "namespace", "labels", "annotations"}


def test_a_key_that_no_kind_has_is_found():
    document = one("argocd/project.yaml")
    document["spec"]["clusterResourceWhiteList"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document["spec"], schemas()["argoproj.io/v1alpha1 AppProject"])


def test_argo_cd_may_make_exactly_the_kinds_that_the_chart_renders():
    charts = GITOPS.parents[1] / "charts"
    rendered = {
        (document["apiVersion"].rpartition("/")[0], document["kind"])
        for values in sorted((charts / "model" / "ci").glob("*-values.yaml"))
        for document in rendering.render("model", rendering.values_file(values), name="x", namespace="y")
        if "helm.sh/hook" not in document["metadata"].get("annotations", {})
    }
    project = one("argocd/project.yaml")["spec"]
    allowed = {(item["group"], item["kind"]) for item in project["namespaceResourceWhitelist"]}
    assert allowed == rendered
    assert project["clusterResourceWhitelist"] == []


def filled(part: Any, parameters: Mapping[str, Any]) -> Any:
    """A template of an ApplicationSet with its parameters; one that is missing is an error."""
    if isinstance(part, dict):
        return {key: filled(value, parameters) for key, value in part.items()}
    if isinstance(part, list):
        return [filled(item, parameters) for item in part]
    if not isinstance(part, str):
        return part
    text = re.sub(
        r"\{\{ index \.path\.segments (\d) \}\}", lambda at: parameters["segments"][int(at[1])], part
    )
    assert "{{" not in text, text
    return text


def applications(applied: Document, repository: Path) -> list[Document]:
    """What the ApplicationSet makes of the repository's head."""
    [generator] = applied["spec"]["generators"]
    [pattern] = [item["path"] for item in generator["git"]["files"]]
    names = git(repository, "ls-tree", "-r", "--name-only", generator["git"]["revision"]).splitlines()
    found = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
    return [filled(applied["spec"]["template"], {"segments": name.split("/")[:-1]}) for name in found]


@pytest.fixture
def released(repository: Path, to: Callable[..., Settings]) -> Path:
    """A repository with two releases, a file of each environment's and one pilot's overrides."""
    commit_files(
        repository,
        {
            "environments/production/values.yaml": "image: {registry: registry.example.org}\n",
            "environments/production/flights/overrides.yaml": "replicas: {max: 4}\n",
            "environments/production/other/values.yaml": "",
        },
        "Set up",
    )
    for environment, version in (("production", 2), ("staging", 1)):
        releases.release(to(repository), "flights", version, environment=environment, by="ada")
    return repository


def values_of(application: Document, repository: Path) -> dict[str, Any]:
    """The chart's values as Argo CD puts them together."""
    chart, live = application["spec"]["sources"]
    merged: dict[str, Any] = {}
    tracked = git(repository, "ls-tree", "-r", "--name-only", live["targetRevision"]).splitlines()
    for name in chart["helm"]["valueFiles"]:
        root, _, path = name.partition("/")
        assert root == f"${live['ref']}"
        if path in tracked:
            merged = merge(merged, yaml.safe_load(show(repository, path)) or {})
        else:
            assert chart["helm"]["ignoreMissingValueFiles"]
    for parameter in chart["helm"]["parameters"]:
        top, _, key = parameter["name"].partition(".")
        merged = merge(merged, {top: {key: yaml.safe_load(parameter["value"])}})
    return merged


def merge(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values files."""
    both = {**one}
    for key, value in other.items():
        held = both.get(key)
        both[key] = merge(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return both


def test_each_release_becomes_an_application_whose_chart_renders(released: Path):
    applied, project = one("argocd/applicationset.yaml"), one("argocd/project.yaml")["spec"]
    found = {item["metadata"]["name"]: item for item in applications(applied, released)}
    assert sorted(found) == ["production-flights", "production-other", "staging-flights"]
    for application in (found["production-flights"], found["staging-flights"]):
        definitions = schemas()["argoproj.io/v1alpha1 ApplicationSet"]["definitions"]
        jsonschema.validate(
            application["spec"], {"$ref": "#/definitions/application", "definitions": definitions}
        )
        assert application["spec"]["destination"] in project["destinations"]
        assert {source["repoURL"] for source in application["spec"]["sources"]} <= set(project["sourceRepos"])
        assert application["spec"]["project"] == "pilotage"
    production = values_of(found["production-flights"], released)
    assert (production["model"]["version"], production["replicas"]["max"]) == (2, 4)
    rendered = rendering.render("model", production, name="flights", namespace="pilotage-production")
    [server] = [item for item in rendered if item["kind"] == "Deployment"]
    [container] = server["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/pilotage/serving:0.1.0"
    assert "flights=2" in " ".join(container["args"])
    assert [item["kind"] for item in rendered if item["kind"] == "Pod"] == []


def test_a_release_and_a_rollback_change_what_runs_and_nothing_of_argo_cds(
    released: Path, to: Callable[..., Settings]
):
    applied = one("argocd/applicationset.yaml")
    before = applications(applied, released)
    releases.release(to(released), "flights", 1, by="ada")
    versions = [values_of(before[0], released)["model"]["version"]]
    releases.revert(to(released), "flights", by="ada")
    versions.append(values_of(before[0], released)["model"]["version"])
    assert versions == [1, 2]
    assert applications(applied, released) == before


def test_both_name_the_files_that_releases_write():
    applied = one("argocd/applicationset.yaml")
    [pattern] = [item["path"] for item in applied["spec"]["generators"][0]["git"]["files"]]
    assert fnmatch.fnmatchcase(places.values_of("production", "flights"), pattern)
    template = filled(
        applied["spec"]["template"], {"segments": places.folder_of("production", "flights").split("/")}
    )
    argo = [name.partition("/")[2] for name in template["spec"]["sources"][0]["helm"]["valueFiles"]]
    text = (GITOPS / "flux/pilot/release.yaml").read_text()
    made = yaml.safe_load(text.replace("${environment}", "production").replace("${pilot}", "flights"))
    assert "$" not in yaml.safe_dump(made)
    flux = made["spec"]["chart"]["spec"]["valuesFiles"]
    folder = places.folder_of("production", "flights")
    files = [f"{places.ROOT}/production/{places.VALUES_FILE}", f"{folder}/{places.VALUES_FILE}"]
    assert argo == [*files, f"{folder}/{places.OVERRIDES_FILE}"]
    assert flux == ["charts/model/values.yaml", *argo]
    jsonschema.validate(made["spec"], schemas()["helm.toolkit.fluxcd.io/v2 HelmRelease"])
    assert made["spec"]["targetNamespace"] == template["spec"]["destination"]["namespace"]
    assert made["spec"]["releaseName"] == template["spec"]["sources"][0]["helm"]["releaseName"]


def test_flux_finds_the_chart_beside_the_environments():
    sources = {
        document["metadata"]["name"]: document["spec"]
        for document in yaml.safe_load_all((GITOPS / "flux/sources.yaml").read_text())
    }
    release = one("flux/pilot/release.yaml")["spec"]["chart"]["spec"]
    [include] = sources[release["sourceRef"]["name"]]["include"]
    assert include["repository"]["name"] in sources
    assert include["toPath"] == release["chart"] == include["fromPath"]
    assert (GITOPS.parents[1] / include["fromPath"] / "Chart.yaml").is_file()
    example = one("flux/example.yaml")["spec"]
    assert (GITOPS.parents[1] / example["path"] / "kustomization.yaml").is_file()
    used = set(re.findall(r"\$\{(\w+)\}", (GITOPS / "flux/pilot/release.yaml").read_text()))
    assert used == set(example["postBuild"]["substitute"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")
@pytest.mark.parametrize("folder", ["argocd", "argocd-oci", "flux", "flux/pilot"])
def test_kustomize_builds_each_folder(folder: str):
    done = subprocess.run(
        ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(GITOPS / folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made = {document["kind"]: document["spec"] for document in yaml.safe_load_all(done.stdout)}
    for kind, spec in made.items():
        [schema] = [item for name, item in schemas().items() if name.endswith(f" {kind}")]
        jsonschema.validate(spec, schema)
    if folder == "argocd-oci":
        [chart, live] = made["ApplicationSet"]["template"]["spec"]["sources"]
        assert (chart["chart"], "path" in chart) == ("model", False)
        assert {chart["repoURL"], live["repoURL"]} == set(made["AppProject"]["sourceRepos"])


def test_production_is_closed_on_weekends_but_not_to_people():
    [window] = one("argocd/project.yaml")["spec"]["syncWindows"]
    assert (window["kind"], window["manualSync"], window["namespaces"]) == (
        "deny",
        True,
        ["pilotage-production"],
    )
