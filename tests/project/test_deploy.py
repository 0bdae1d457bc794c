"""What is delivered for running it elsewhere fits what it runs: settings, ports, paths, times, names.

No container is started here. What the image's build does, and Kubernetes, nobody tries in this suite.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from antiphon.bootstrap import ending
from antiphon.process import CLOSING_SECONDS
from antiphon.services.runs import follow
from antiphon.settings import Settings
from scripts.project_files import ROOT
from tests.e2e.server_process import eventually
from tests.ports import free_port
from tests.project.test_project import environment_names

DOCKERFILE = (ROOT / "Dockerfile").read_text()
NGINX = ROOT / "deploy" / "nginx.conf"
KUBERNETES = ROOT / "deploy" / "kubernetes"
SINGLE, PRODUCTION = "docker-compose.yml", "docker-compose.prod.yml"
SETTINGS = {name for field, info in Settings.model_fields.items() for name in environment_names(field, info)}
MARGIN_SECONDS = 2


def image_environment() -> dict[str, str]:
    """What the image sets for the server."""
    block = re.search(r"^ENV PATH=.*?(?<!\\)$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    assert block is not None
    return dict(re.findall(r"([A-Z_]+)=(\S+)", block[0].replace("\\\n", " ")))


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


def servers(name: str) -> dict[str, dict[str, Any]]:
    """The services that run this program."""
    return {key: one for key, one in compose(name)["services"].items() if one.get("image") == "antiphon"}


def documents() -> Iterator[dict[str, Any]]:
    """All Kubernetes objects."""
    for path in sorted(KUBERNETES.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


def kind(name: str) -> dict[str, Any]:
    (found,) = [one for one in documents() if one["kind"] == name]
    return found


def least_grace_seconds(drain: float = float(Settings.model_fields["drain_seconds"].default)) -> float:
    """What a server may take to end, with its default drain."""
    return drain + CLOSING_SECONDS + ending.CLOSING_SECONDS + MARGIN_SECONDS


# --- the image


def test_what_the_image_copies_is_there_and_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "nothing is sent that is not named: no .env, no data, no history"
    sources = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for source in " ".join(sources).split():
        assert list(ROOT.glob(source)), source
        assert f"!{source}" in ignored, source


def test_the_image_installs_locks_that_exist_and_declared_extras() -> None:
    extras = re.search(r'^ARG EXTRAS="(.+)"', DOCKERFILE, re.MULTILINE)
    assert extras is not None
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra in extras[1].split():
        assert extra in declared and (ROOT / f"requirements-{extra}.lock").exists(), extra
    for command in re.findall(r"pip install (.+)", DOCKERFILE):
        assert "--require-hashes" in command or "--no-build-isolation" in command, command


def test_the_image_starts_the_program_as_nobody_in_particular() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    entry = re.search(r'^ENTRYPOINT \["(.+)"\]', DOCKERFILE, re.MULTILINE)
    assert entry is not None and entry[1] in scripts
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    user = re.search(r"^USER (\d+)", last, re.MULTILINE)
    assert user is not None and int(user[1]) > 0
    assert kind("StatefulSet")["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user[1])
    module = re.search(r'CMD \["python", "-m", "(.+)"\]', last)
    assert module is not None
    assert (ROOT / "src" / f"{module[1].replace('.', '/')}.py").exists()


def test_the_image_sets_settings_and_its_ports_and_paths_agree() -> None:
    environment = image_environment()
    assert set(environment) - SETTINGS == {"PATH", "PYTHONUNBUFFERED"}
    assert f"\nEXPOSE {environment['PORT']}\n" in DOCKERFILE
    assert f"\nVOLUME {environment['DATA_DIR']}\n" in DOCKERFILE


# --- compose


@pytest.mark.parametrize("name", [SINGLE, PRODUCTION])
def test_a_composition_names_settings_and_gives_every_server_a_directory_of_its_own(name: str) -> None:
    volumes = []
    for service in servers(name).values():
        settings = service["environment"]
        assert set(settings) <= SETTINGS
        assert (settings["PORT"], settings["DATA_DIR"]) == ("8000", image_environment()["DATA_DIR"])
        volume, _, place = service["volumes"][0].partition(":")
        assert place == settings["DATA_DIR"] and volume in compose(name)["volumes"]
        volumes.append(volume)
        assert float(service["stop_grace_period"].removesuffix("s")) >= least_grace_seconds()
    assert volumes and len(set(volumes)) == len(volumes)


def test_the_single_container_has_the_name_that_older_documents_use() -> None:
    (service,) = servers(SINGLE).values()
    assert service["container_name"] == "chatbot-api"
    assert service["ports"] == ["127.0.0.1:8000:8000"], "nobody else's machine reaches it unasked"


def test_the_production_servers_share_a_database_that_is_waited_for() -> None:
    services = compose(PRODUCTION)["services"]
    assert [one.get("command", ["serve"]) for one in servers(PRODUCTION).values()] == [
        ["serve"], ["serve"], ["worker"],
    ]  # fmt: skip
    assert all(one["environment"]["BACKGROUND_JOBS"] == "workers" for one in servers(PRODUCTION).values())
    for service in servers(PRODUCTION).values():
        assert service["environment"]["ENVIRONMENT"] == "production"
        assert "@postgres:5432/" in service["environment"]["DATABASE_URL"]
        for other, wanted in service["depends_on"].items():
            assert wanted == {"condition": "service_healthy"} and "healthcheck" in services[other]


def test_addresses_in_the_environment_file_win_over_those_of_the_composition() -> None:
    for name in (SINGLE, PRODUCTION):
        for service in servers(name).values():
            for address in {"DATABASE_URL", "REDIS_URL", "MONGODB_URL"} & set(service["environment"]):
                assert service["environment"][address].startswith(f"${{{address}:-"), address


def test_the_shipped_redis_throws_nothing_away_and_has_room_for_the_cache() -> None:
    command = compose(PRODUCTION)["services"]["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    room = int(command[command.index("--maxmemory") + 1].removesuffix("mb"))
    assert room >= 4 * Settings.model_fields["response_cache_mb"].default


# --- nginx


def test_nginx_passes_on_to_the_production_servers_on_the_port_that_is_published() -> None:
    nginx = compose(PRODUCTION)["services"]["nginx"]
    upstream = re.findall(r"^\s+server (\S+):(\d+) ", NGINX.read_text(), re.MULTILINE)
    assert upstream == [(name, "8000") for name, one in servers(PRODUCTION).items() if "command" not in one]
    listening = re.search(r"listen (\d+);", NGINX.read_text())
    assert listening is not None and nginx["ports"] == [f"80:{listening[1]}"]
    mounted = nginx["volumes"][0].partition(":")[0]
    assert (ROOT / mounted).resolve() == NGINX


def test_nginx_and_the_ingress_hold_nothing_back() -> None:
    text = NGINX.read_text()
    annotations = kind("Ingress")["metadata"]["annotations"]
    for directive, value in (
        ("proxy-buffering", "off"), ("proxy-request-buffering", "off"), ("proxy-read-timeout", "300"),
        ("proxy-send-timeout", "60"), ("proxy-connect-timeout", "2"),
    ):  # fmt: skip
        assert annotations[f"nginx.ingress.kubernetes.io/{directive}"] == value
        assert re.search(rf"{directive.replace('-', '_')} {value}s?;", text), directive
    assert annotations["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"
    assert "client_max_body_size 0;" in text
    assert follow.PING_SECONDS * 4 < 300


def test_nginx_reads_its_configuration(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    local = re.sub(r"server antiphon-\d:", "server 127.0.0.1:", NGINX.read_text())
    copy = tmp_path / "nginx.conf"
    copy.write_text(local.replace("/tmp/", f"{tmp_path}/"))
    done = subprocess.run(["nginx", "-t", "-c", str(copy)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Told(BaseHTTPRequestHandler):
    """Answers with the session that a request's header names."""

    def do_GET(self) -> None:
        body = (self.headers["session_id"] or "none").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_nginx_passes_a_header_with_an_underscore_on(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as behind:
        text = re.sub(r"server antiphon-\d:8000", f"server 127.0.0.1:{behind.server_port}", NGINX.read_text())
        text = re.sub(r"listen \d+;", f"listen 127.0.0.1:{port};", text).replace("/tmp/", f"{tmp_path}/")
        copy = tmp_path / "nginx.conf"
        copy.write_text(text.replace("worker_processes auto;", "worker_processes 1;"))
        serving = threading.Thread(target=behind.serve_forever)
        serving.start()
        nginx = subprocess.Popen(["nginx", "-c", str(copy), "-g", "daemon off;"])
        try:
            assert eventually(lambda: _named(port), "an answer through nginx") == "session123"
        finally:
            nginx.terminate()
            nginx.wait(10)
            behind.shutdown()
            serving.join()


def _named(port: int) -> str | None:
    """The session that the server behind nginx is told, None as long as nginx does not listen."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/", headers={"session_id": "session123"})
        return connection.getresponse().read().decode()
    return None


# --- Kubernetes


def pod() -> dict[str, Any]:
    found: dict[str, Any] = kind("StatefulSet")["spec"]["template"]["spec"]
    return found


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    return dict(found)


def test_kubernetes_sets_settings() -> None:
    settings = kind("ConfigMap")["data"]
    secrets = kind("Secret")["stringData"]
    assert set(settings) <= SETTINGS and set(secrets) <= SETTINGS
    assert {"SECRET_KEY", "DATABASE_URL"} <= set(secrets)
    assert not any(secrets.values()), "an example holds no credential"
    assert [one for source in container()["envFrom"] for one in source.values()] == [{"name": "antiphon"}] * 2


def test_kubernetes_waits_for_as_long_as_a_server_may_take_to_end() -> None:
    drain = float(kind("ConfigMap")["data"]["DRAIN_SECONDS"])
    before = float(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod()["terminationGracePeriodSeconds"] >= before + least_grace_seconds(drain)


def test_kubernetes_probes_routes_that_answer_without_credentials() -> None:
    probes = {name: container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready",
    }  # fmt: skip
    for probe in probes.values():
        assert probe["httpHeaders"] == [{"name": "Host", "value": "localhost"}], "whatever ALLOWED_HOSTS says"


def test_kubernetes_names_one_thing_the_same_everywhere() -> None:
    labels = kind("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    services = {one["metadata"]["name"]: one["spec"] for one in documents() if one["kind"] == "Service"}
    selectors = [kind("StatefulSet")["spec"]["selector"]["matchLabels"]]
    selectors += [kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]]
    assert all(one == labels for one in (*selectors, *(spec["selector"] for spec in services.values())))
    assert kind("StatefulSet")["spec"]["serviceName"] in services
    ports = {port["name"]: str(port["containerPort"]) for port in container()["ports"]}
    assert ports == {"http": kind("ConfigMap")["data"]["PORT"]}
    backend = kind("Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] in services
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert mounts["data"] == kind("ConfigMap")["data"]["DATA_DIR"]


def test_the_kustomization_names_what_is_there_or_has_an_example() -> None:
    for name in kind("Kustomization")["resources"]:
        path = KUBERNETES / name
        assert path.exists() or path.with_suffix(".example.yaml").exists(), name
