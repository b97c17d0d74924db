"""One namespace of Rollouts played for real by the operator, from which a fleet is multiplied.

What the operator finds in a fleet is thus what the operator itself wrote, whatever its version writes.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.fleet import shops
from benchmarks.fleet.processes import Child, Operator, stopping
from benchmarks.fleet.shops import Manifest
from rollout.api.crd import all_crds
from rollout.demo.operator_process import SERVICE_ACCOUNT, rights
from rollout.sandbox.apiserver.local import JSON_PATCH
from rollout.sandbox.apiserver.resource import ENDPOINT_SLICES, PODS, REPLICA_SETS, SERVICES, Resource
from rollout.sandbox.cluster import Sandbox

NAMESPACE = "fleet-00000"
SIZE = 20
"""Rollouts in each namespace."""
PATIENCE_S = 180.0
GROUP = "progressive.delivery"
ROLLOUTS = Resource(GROUP, "v1alpha1", "rollouts")
RUNS = Resource(GROUP, "v1alpha1", "analysisruns")
CAPTURED = (
    Resource(GROUP, "v1alpha1", "analysistemplates"),
    SERVICES,
    Resource("gateway.networking.k8s.io", "v1", "httproutes"),
    ROLLOUTS,
    REPLICA_SETS,
    PODS,
    ENDPOINT_SLICES,
    RUNS,
)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Mother:
    """A namespace at rest and under way: objects by plural name; and the Prometheus that they name."""

    healthy: dict[str, list[Manifest]]
    under_way: dict[str, list[Manifest]]
    prometheus: str

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> "Mother":
        return cls(**json.loads(file.read_text()))


def name_of(number: int) -> str:
    return f"shop-{number:02}"


def play(home: Path, say: Say, size: int = SIZE) -> Mother:
    """Play until all are healthy, then until all are judged; about a minute."""
    with stage(home, scrape_s=15, rate=40.0) as on:
        say(f"{size} Rollouts begin")
        on.load(shops.namespace(NAMESPACE), shops.template(on.prometheus))
        for number in range(size):
            on.load(*shops.shop(name_of(number), "shop:v1"))
        on.until(healthy, size)
        at_rest = on.captured()
        say("all are healthy")
        for number in range(size):
            on.set_image(name_of(number), "shop:v2")
        on.until(judged, size)
        say("all are judged")
        return Mother(at_rest, on.captured(), on.prometheus)


def healthy(rollout: Manifest) -> bool:
    """Whether it is at rest as its spec wants it."""
    status = rollout.get("status", {})
    current = status.get("observedGeneration") == rollout["metadata"]["generation"]
    return current and status.get("phase") == "Healthy"


def judged(rollout: Manifest) -> bool:
    """Whether every metric has counted something of the canary."""
    evidence = rollout.get("status", {}).get("evidence") or ()
    return len(evidence) == 2 and all(each.get("canary", {}).get("total") for each in evidence)


@contextmanager
def stage(home: Path, *, scrape_s: int, rate: float) -> Iterator["Stage"]:
    """A cluster of scripted pods, the stub Prometheus and the operator."""
    with Sandbox("scripted", folder=_made(home / f"sandbox-{time.monotonic_ns()}")) as sandbox:
        sandbox.submit(sandbox.load([*all_crds().values(), *rights()])).result()
        targets = sandbox.folder / "targets"
        targets.touch()
        words = (str(targets), str(scrape_s), str(rate))
        stub = Child("benchmarks.fleet.prometheus", *words, log=home / "prometheus.log")
        operator = Operator(home, sandbox.kubeconfig_for(*SERVICE_ACCOUNT), stub.first)
        with stopping(stub, operator):
            operator.wait()
            yield Stage(sandbox, targets, stub.first)


class Stage:
    """The sandbox, with a loop that waits and writes down who is scraped."""

    def __init__(self, sandbox: Sandbox, targets: Path, prometheus: str) -> None:
        self.sandbox = sandbox
        self.prometheus = prometheus
        self._targets = targets

    def load(self, *objects: Manifest) -> None:
        named = [
            each
            if each["kind"] == "Namespace"
            else {**each, "metadata": {**each["metadata"], "namespace": NAMESPACE}}
            for each in objects
        ]
        self.sandbox.submit(self.sandbox.load(named)).result()

    def set_image(self, name: str, image: str) -> None:
        path = "/spec/template/spec/containers/0/image"
        patch = [{"op": "replace", "path": path, "value": image}]
        client = self.sandbox.client
        work = client.patch(ROLLOUTS, NAMESPACE, name, patch, content_type=JSON_PATCH)
        self.sandbox.submit(work).result()

    def until(self, holds: Callable[[Manifest], bool], size: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self._targets.write_text("".join(map(target_line, self._list(PODS))))
            found = self._list(ROLLOUTS)
            if len(found) == size and all(map(holds, found)):
                return
            time.sleep(0.5)
        raise TimeoutError(f"the fleet's mother: {[each.get('status') for each in self._list(ROLLOUTS)][:2]}")

    def sleep(self, seconds: float) -> None:
        """Let the cluster go on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._targets.write_text("".join(map(target_line, self._list(PODS))))
            time.sleep(0.5)

    def captured(self) -> dict[str, list[Manifest]]:
        return {resource.plural: self._list(resource) for resource in CAPTURED}

    def _list(self, resource: Resource) -> list[Manifest]:
        return self.sandbox.submit(self.sandbox.client.list(resource, NAMESPACE)).result()[0]


def target_line(pod: Manifest) -> str:
    """A pod as the stub reads it."""
    meta = pod["metadata"]
    began = time.mktime(time.strptime(meta["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    return json.dumps({"namespace": meta["namespace"], "pod": meta["name"], "began": began}) + "\n"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
