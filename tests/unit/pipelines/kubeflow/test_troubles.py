"""An API that is slow, lost, forbidding or forgetful: nothing is submitted twice, and no run is lost."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import kfp_server_api
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.kubeflows import Kubeflow, Run

from pilotage.core import errors
from pilotage.pipelines.journals.states import State
from pilotage.pipelines.kubeflow import followers, submissions
from pilotage.pipelines.kubeflow.clients import Client

CREATE, GET, LIST = "run_service_create_run", "run_service_get_run", "run_service_list_runs"


@pytest.mark.parametrize(
    "fault", ["drop", "drop after", 500, 503, 429], ids=["lost", "answer-lost", "500", "503", "429"]
)
def test_a_submission_in_trouble_is_made_once(cluster, fault: str | int):
    cluster.kubeflow.faults[CREATE] = [fault, fault]
    cluster.play(*cluster.whole())
    cluster.carry_out()
    assert len(cluster.kubeflow.runs) == 1
    assert cluster.kubeflow.count(CREATE) == (1 if fault == "drop after" else 3)


def test_a_slow_answer_to_a_submission_is_looked_for(cluster_with):
    cluster = cluster_with(kubeflow_timeout_seconds=1)
    cluster.kubeflow.faults[CREATE] = [1.3]
    cluster.play(*cluster.whole())
    cluster.carry_out()
    assert [run.body["display_name"] for run in cluster.kubeflow.runs.values()] == [f"small {cluster.name}"]


def test_a_run_that_was_submitted_before_is_found_and_not_submitted_again(cluster):
    journal = cluster.begin()
    cluster.play()
    client = Client(cluster.settings)
    submissions.submit(
        client, cluster.records.engine, cluster.settings, cluster.name, cluster.spec, cluster.folder, {}
    )
    cluster.play(*cluster.whole())
    runner_knows_nothing = {"on": "kubeflow", "id": None}
    from pilotage.pipelines.kubeflow.runners import KubeflowRunner

    KubeflowRunner(cluster.settings, cluster.records.engine, journal).run(
        cluster.spec, cluster.folder, runner_knows_nothing
    )
    assert cluster.kubeflow.count(CREATE) == 1


def test_of_two_submissions_the_older_one_is_it_and_the_other_ends(cluster):
    experiment = Client(cluster.settings).experiment("small")
    body = {
        "display_name": f"small {cluster.name}",
        "experiment_id": experiment,
        "runtime_config": {"parameters": {"run": cluster.name}},
    }
    older, younger = cluster.kubeflow.start(body), cluster.kubeflow.start(body)
    cluster.play(*cluster.whole())
    cluster.carry_out()
    assert (older.state, older.terminated) == ("SUCCEEDED", False)
    assert younger.terminated
    assert cluster.kubeflow.count(CREATE) == 0


def test_runs_are_looked_for_on_every_page(cluster):
    experiment = Client(cluster.settings).experiment("small")
    for number in range(5):
        body = {"display_name": f"other {number}", "experiment_id": experiment, "runtime_config": {}}
        cluster.kubeflow.start(body)
    assert len(list(Client(cluster.settings).runs(experiment))) == 5
    assert cluster.kubeflow.count(LIST) == 3


def test_an_expired_token_is_read_anew(cluster_with, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("first\n")
    cluster = cluster_with(kubeflow_token_file=token)
    cluster.kubeflow.tokens = {"first"}

    def expire(run: Run) -> None:
        cluster.kubeflow.tokens = {"second"}
        token.write_text("second\n")

    acts = cluster.whole()
    cluster.play(acts[0], expire, *acts[1:])
    cluster.carry_out()
    assert cluster.steps["register"].state is State.SUCCEEDED


def test_a_token_that_is_late_is_waited_for(cluster_with, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("old")
    cluster = cluster_with(kubeflow_token_file=token)
    cluster.kubeflow.tokens = {"new"}
    cluster.play(*cluster.whole())
    import threading

    timer = threading.Timer(0.8, lambda: token.write_text("new"))
    timer.start()
    cluster.carry_out()
    timer.join()
    assert cluster.steps["register"].state is State.SUCCEEDED


def test_a_token_that_stays_wrong_is_told_with_its_setting(cluster_with, tmp_path: Path):
    token = tmp_path / "token"
    token.write_text("wrong")
    cluster = cluster_with(kubeflow_token_file=token, kubeflow_patience_seconds=0.3)
    cluster.kubeflow.tokens = {"right"}
    with pytest.raises(errors.Unauthenticated, match=r"Token is invalid.*PILOTAGE_KUBEFLOW_TOKEN_FILE"):
        cluster.carry_out()
    assert cluster.kubeflow.runs == {}


@pytest.mark.parametrize("content", ["", "two\nlines", None], ids=["empty", "lines", "missing"])
def test_a_token_file_without_a_token_is_a_wrong_setting(cluster_with, tmp_path: Path, content: str | None):
    token = tmp_path / "token"
    if content is not None:
        token.write_text(content)
    cluster = cluster_with(kubeflow_token_file=token)
    with pytest.raises(errors.SettingsError, match="token"):
        cluster.carry_out()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, errors.InputError, "refused to submit the run: played 400"),
        (403, errors.Forbidden, r"docs/kubeflow\.md"),
        (404, errors.NotFound, "could not submit the run"),
    ],
)
def test_what_waiting_does_not_mend_is_told_at_once(cluster, status: int, kind: type, words: str):
    cluster.kubeflow.faults[CREATE] = [status]
    with pytest.raises(kind, match=words):
        cluster.carry_out()
    assert cluster.kubeflow.count(CREATE) == 1


def test_an_api_that_never_answers_is_given_up_after_its_patience(cluster_with):
    cluster = cluster_with(kubeflow_patience_seconds=0.5)
    cluster.kubeflow.faults["experiment_service_list_experiments"] = ["drop"] * 50
    with pytest.raises(errors.Unavailable, match=r"look for the experiment.*PILOTAGE_KUBEFLOW_URL"):
        cluster.carry_out()


def test_a_run_outlives_an_api_that_is_away(cluster, monkeypatch, caplog):
    monkeypatch.setattr(followers, "_LONGEST_WAIT_SECONDS", 0.05)
    acts = cluster.whole()

    def away(run: Run) -> None:
        cluster.kubeflow.faults[GET] = ["drop", 500, 503, 401, 403, 404, 404, "drop"]

    cluster.play(acts[0], away, *acts[1:])
    cluster.carry_out()
    assert cluster.steps["register"].state is State.SUCCEEDED
    assert "The run goes on there; it is asked again." in caplog.text


def test_a_termination_is_tried_again(cluster, monkeypatch):
    from pilotage.pipelines.kubeflow.followers import Follower

    cluster.kubeflow.faults["run_service_terminate_run"] = [503, "drop"]
    journal = cluster.begin()
    client = Client(cluster.settings)
    run = cluster.kubeflow.start(
        {"display_name": "small x", "experiment_id": "e", "runtime_config": {"parameters": {"run": "x"}}}
    )
    follower = Follower(client, cluster.settings, cluster.pods.storage, journal, run.id, lambda: None)
    assert not follower.cancel()
    assert run.state == "CANCELED"


def test_a_run_that_succeeded_before_it_was_terminated_has_succeeded(cluster):
    from pilotage.pipelines.kubeflow.followers import Follower

    journal = cluster.begin()
    run = cluster.kubeflow.start(
        {"display_name": "s", "experiment_id": "e", "runtime_config": {"parameters": {"run": cluster.name}}}
    )
    for act in cluster.whole():
        act(run)
    run.state = "SUCCEEDED"
    follower = Follower(
        Client(cluster.settings), cluster.settings, cluster.pods.storage, journal, run.id, lambda: None
    )
    assert follower.cancel()
    assert {step.state for step in cluster.steps.values()} == {State.SUCCEEDED}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `localhost` that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_tls_is_spoken_and_authorities_are_asked_for(cluster, certificate: tuple[Path, Path]):
    server = Kubeflow(certificate=certificate)
    try:
        ours = cluster.settings.model_copy(
            update={"kubeflow_url": server.url, "kubeflow_ca_file": certificate[0]}
        )
        assert Client(ours).experiment("small") == Client(ours).experiment("small")
        strangers = ours.model_copy(update={"kubeflow_ca_file": None})
        with pytest.raises(errors.Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            Client(strangers).experiment("small")
        missing = ours.model_copy(update={"kubeflow_ca_file": Path("/nowhere.pem")})
        with pytest.raises(errors.SettingsError, match="PILOTAGE_KUBEFLOW_CA_FILE"):
            Client(missing).experiment("small")
    finally:
        server.stop()
    assert ssl.OPENSSL_VERSION


def test_nothing_is_left_in_the_users_home_nor_printed(cluster, monkeypatch, tmp_path: Path, capfd):
    monkeypatch.setenv("HOME", str(tmp_path / "person"))
    cluster.play(*cluster.whole())
    cluster.carry_out()
    assert not (tmp_path / "person").exists()
    assert capfd.readouterr().out == ""
    assert cluster.kubeflow.count("healthz_service_get_healthz") == 0


def test_a_page_that_names_itself_as_the_next_ends_the_look(cluster, monkeypatch):
    client = Client(cluster.settings)
    experiment = client.experiment("small")
    answers = iter(range(100))

    def ask(what, call):
        next(answers)
        return kfp_server_api.V2beta1ListRunsResponse(runs=[], next_page_token="again")

    monkeypatch.setattr(client, "_ask", ask)
    assert list(client.runs(experiment)) == []
    assert next(answers) == 2
