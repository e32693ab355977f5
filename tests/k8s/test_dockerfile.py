"""The image's recipe: hadolint finds nothing, and it is as the manifests expect it."""

import subprocess

from serve.cluster.haproxy_overload import BINARY_VARIABLE, PROGRAM
from serve.kubernetes.pod import USER
from tests.k8s.manifests import ROOT, tool

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_hadolint_finds_nothing() -> None:
    ran = subprocess.run([tool("hadolint"), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_user_is_that_of_the_pods() -> None:
    assert f"USER {USER}:{USER}" in DOCKERFILE


def test_everything_that_is_copied_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert f"!{source}" in ignored
                assert (ROOT / source).exists()


def test_haproxy_refuses_for_full_models() -> None:
    assert f"{BINARY_VARIABLE}=/opt/automodel-serve/bin/{PROGRAM}" in DOCKERFILE
