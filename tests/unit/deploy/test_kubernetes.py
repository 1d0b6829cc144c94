"""The Kubernetes manifests: valid by the API schemas, and tied to the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dicomnode import config
from dicomnode.version import VERSION
from dicomnode.web import watching

FOLDER = Path(__file__).resolve().parents[3] / "deploy" / "kubernetes"
OVERLAYS = ["base", "overlays/gpu", "overlays/hpa", "overlays/keda"]
ROLES = {"receive", "work", "keep", "deliver", "web"}
FOREIGN = {"ScaledObject"}

Manifest = dict[str, Any]


def kustomized(folder: Path) -> Iterator[Manifest]:
    """What the kustomization in ``folder`` gives, as far as ours use it."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    found = list(_resources(folder, said["resources"]))
    for patch in said.get("patches", ()):
        if "path" in patch:
            text = (folder / patch["path"]).read_text("utf-8")
            _merge(_named(found, yaml.safe_load(text)), yaml.safe_load(text))
        else:
            (target,) = [
                one
                for one in found
                if one["kind"] == patch["target"]["kind"]
                and one["metadata"]["name"] == patch["target"]["name"]
            ]
            for step in yaml.safe_load(patch["patch"]):
                assert step == {"op": "remove", "path": "/spec/replicas"}
                del target["spec"]["replicas"]
    yield from found


def _resources(folder: Path, names: list[str]) -> Iterator[Manifest]:
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from kustomized(path.resolve())
        else:
            yield from yaml.safe_load_all(path.read_text("utf-8"))


def _named(found: list[Manifest], like: Manifest) -> Manifest:
    (one,) = [
        one
        for one in found
        if one["kind"] == like["kind"]
        and one["metadata"]["name"] == like["metadata"]["name"]
    ]
    return one


def _merge(below: Manifest, above: Manifest) -> None:
    """A strategic merge: lists of things with names are merged by name."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        elif isinstance(value, list) and value and "name" in value[0]:
            by_name = {one["name"]: one for one in below.setdefault(key, [])}
            for one in value:
                if one["name"] in by_name:
                    _merge(by_name[one["name"]], one)
                else:
                    below[key].append(one)
        else:
            below[key] = value


@pytest.fixture(scope="module", params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return list(kustomized(FOLDER / request.param))


@pytest.fixture(scope="module")
def base() -> list[Manifest]:
    return list(kustomized(FOLDER / "base"))


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for kind in ("Deployment", "Job"):
        for one in of_kind(manifests, kind).values():
            yield one["spec"]["template"]["spec"]


def test_every_manifest_is_valid(manifests: list[Manifest]) -> None:
    version = kubernetes_validate.latest_version()
    for one in manifests:
        if one["kind"] not in FOREIGN:
            kubernetes_validate.validate(one, version, strict=True)


def test_every_file_of_a_folder_is_used_or_an_example() -> None:
    for folder in (FOLDER / name for name in OVERLAYS):
        text = (folder / "kustomization.yaml").read_text("utf-8")
        for path in folder.glob("*.yaml"):
            is_named = path.name in text
            assert is_named or path.name == "kustomization.yaml", path


def test_pods_meet_the_restricted_standard(manifests: list[Manifest]) -> None:
    namespace = of_kind(manifests, "Namespace")["dicomnode"]
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in pods(manifests):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 10001
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"]
            assert container["resources"]["limits"]["memory"]


def test_no_secret_is_written_here(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    for pod in pods(manifests):
        (secret,) = [one for one in pod["volumes"] if "secret" in one]
        assert secret["secret"]["secretName"] == "dicomnode"
        names = {one["name"] for one in pod["containers"][0]["env"]}
        assert not {name for name in names if "SECRET" in name or "URL" in name}


def test_roles_ports_and_paths_are_those_of_the_program(base: list[Manifest]) -> None:
    deployments = of_kind(base, "Deployment")
    given = config.load(FOLDER / "base" / "config.toml", environ={})
    assert set(deployments) == ROLES
    ports = {"receive": given.receiver.port, "web": given.web.port}
    for name, one in deployments.items():
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["args"] == [name]
        assert container["image"] == "dicomnode"
        found = [port["containerPort"] for port in container.get("ports", ())]
        assert found == ([ports[name]] if name in ports else [])
        assert ("readinessProbe" in container) == (name in ports)
    served = {route.path for route in watching.watching.routes}
    web = deployments["web"]["spec"]["template"]["spec"]["containers"][0]
    for probe in ("readinessProbe", "livenessProbe"):
        assert web[probe]["httpGet"]["path"] in served
    kustomization = (FOLDER / "base" / "kustomization.yaml").read_text("utf-8")
    assert f"newTag: {VERSION}\n" in kustomization


def test_variables_are_keys_of_the_configuration(manifests: list[Manifest]) -> None:
    for pod in pods(manifests):
        for variable in pod["containers"][0]["env"]:
            prefix, section, key = (
                variable["name"].lower().replace("__", "_", 1).split("_", 2)
            )
            assert prefix == "dicomnode"
            table = config.Config.model_fields[section].annotation
            assert key in table.model_fields


def test_every_selector_finds_its_pods(base: list[Manifest]) -> None:
    labels = {
        name: one["spec"]["template"]["metadata"]["labels"]
        for name, one in of_kind(base, "Deployment").items()
    }
    assert set(of_kind(base, "PodDisruptionBudget")) == ROLES
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        for name, one in of_kind(base, kind).items():
            selector = one["spec"]["selector"]
            assert selector.get("matchLabels", selector) == labels[name]


def test_the_receiver_sees_who_calls(base: list[Manifest]) -> None:
    service = of_kind(base, "Service")["receive"]["spec"]
    assert service["externalTrafficPolicy"] == "Local"


def test_nothing_passes_that_is_not_named(base: list[Manifest]) -> None:
    policies = of_kind(base, "NetworkPolicy")
    deny = policies.pop("default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for one in policies.values():
        for direction in ("ingress", "egress"):
            for rule in one["spec"].get(direction, ()):
                assert rule["ports"]
                assert rule.get("from") or rule.get("to")


def test_a_gpu_is_asked_for_once() -> None:
    found = of_kind(list(kustomized(FOLDER / "overlays/gpu")), "Deployment")
    (container,) = found["work"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"dicomnode:{VERSION}-cuda"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize(
    ("overlay", "kind"), [("hpa", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")]
)
def test_who_scales_the_workers_is_the_only_one(overlay: str, kind: str) -> None:
    found = list(kustomized(FOLDER / "overlays" / overlay))
    assert "replicas" not in of_kind(found, "Deployment")["work"]["spec"]
    target = of_kind(found, kind)["work"]["spec"]["scaleTargetRef"]
    assert target["name"] == "work"
