"""A sandbox with the operator in it, and shops on it: a namespace, a repository, users and a witness each."""

import asyncio
import itertools
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import yaml
from e2e_oracles import changes, overruns, weight_of
from e2e_witness import Object, Seen, Witness, answers

from rollout.api.crd import all_crds
from rollout.demo import operator_process
from rollout.demo.repository import Repository
from rollout.sandbox.apiserver.requests import Fault, Faults, Request
from rollout.sandbox.cluster import Sandbox
from rollout.sandbox.install import find_kubectl
from rollout.sandbox.processes import Child
from rollout.sandbox.shop.load import Load, LoadReport

T = TypeVar("T")
Manifest = dict[str, Any]

DEMO = Path(operator_process.__file__).with_name("manifests")
RATE = 600.0
LONGEST_S = 300.0
DONE_S = 30.0
STABLE, CANARY, NAME = "shop-stable", "shop-canary", "shop"
HASH = "rollouts-pod-template-hash"
USER = "system:serviceaccount:rollout-system:rollout"
NOBODY = "-"
_numbers = itertools.count(1)


class Stage:
    """One sandbox, and the operator as a process under its own ServiceAccount and the roles of `deploy/`."""

    def __init__(self, sandbox: Sandbox, home: Path) -> None:
        self.sandbox = sandbox
        self.home = home
        self.struck = False
        """Whether the operator was struck and has no successor yet."""
        self.interfering: list[Faults] = []
        """Asked in their order before the API server serves a request."""
        sandbox.server.fault = self._interfere
        self._operator: Child | None = None
        self._only_one = threading.RLock()

    async def _interfere(self, request: Request) -> Fault | None:
        for each in tuple(self.interfering):
            if (fault := await each(request)) is not None:
                return fault
        return None

    def do(self, work: Coroutine[Any, Any, T], within_s: float = DONE_S) -> T:
        """Do something in the sandbox's loop, whose children die with it."""
        return self.sandbox.submit(work).result(within_s)

    def install(self) -> None:
        """What `kubectl apply` would install on any cluster: the CRDs and the operator's rights."""
        self.do(self.sandbox.load([*all_crds().values(), *operator_process.rights()]))

    @property
    def operator(self) -> Child:
        assert self._operator is not None
        return self._operator

    def start_operator(self) -> None:
        with self._only_one:
            self._operator = self.do(operator_process.start(self.sandbox, self.home))
            self.struck = False

    def strike(self, after_s: float = 0.0) -> None:
        """SIGKILL to the operator and its children, which do nothing more from now on (sandbox's loop)."""
        struck, self.struck = self.operator, True
        if after_s:
            struck.signal(signal.SIGSTOP)
            asyncio.get_running_loop().call_later(after_s, struck.signal, signal.SIGKILL)
        else:
            struck.signal(signal.SIGKILL)

    def ensure_operator(self) -> None:
        """Start the operator where none is running."""
        with self._only_one:
            if self._operator is None or not self._operator.running:
                self.start_operator()

    def replace_operator(self) -> None:
        """Strike it, and start the next one when it is gone."""
        with self._only_one:
            if not self.struck:
                self.strike()
            self.do(self.operator.wait())
            self.start_operator()

    def stop_operator(self) -> None:
        if self._operator is not None:
            self.do(self._operator.stop(10.0))

    def kubectl_command(self, *words: str) -> list[str]:
        """The real kubectl as an administrator of the sandbox."""
        return [str(find_kubectl()), f"--kubeconfig={self.sandbox.kubeconfig}", *words]

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """Run the real kubectl as a person would; its output."""
        command = self.kubectl_command(*words)
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout


class Shop:
    """One application under a Rollout, in a namespace of its own."""

    def __init__(self, stage: Stage, home: Path, rate: float = RATE) -> None:
        self.stage = stage
        self.home = home
        self.rate = rate
        self.namespace = f"e2e-{next(_numbers)}"
        self.host = f"{self.namespace}.local"
        self.repository = Repository(home / self.namespace)
        self.witness = Witness(stage.sandbox, self.namespace)
        self.objects = self._manifests()
        self.reports: list[LoadReport] = []
        """All that users reported, in order of time."""
        self.notes: list[str] = []
        """What was done to it, for the table of a campaign."""
        self._load: Load | None = None

    def _manifests(self) -> dict[str, Manifest]:
        texts = [path.read_text() for path in sorted((DEMO / "shop").glob("*.yaml"))]
        objects = [each for text in texts for each in yaml.safe_load_all(text)]
        for each in objects:
            each["metadata"]["namespace"] = self.namespace
        found = {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}
        found[f"HTTPRoute/{NAME}"]["spec"]["hostnames"] = [self.host]
        metric = found["AnalysisTemplate/errors"]["spec"]["metrics"][0]
        metric["provider"]["prometheus"]["address"] = self.stage.sandbox.prometheus_url
        found[f"Rollout/{NAME}"]["spec"]["replicas"] = 2
        return found

    @property
    def canary_strategy(self) -> Manifest:
        """The strategy in the manifest of the next commit; change it before."""
        strategy: Manifest = self.objects[f"Rollout/{NAME}"]["spec"]["strategy"]["canary"]
        return strategy

    def open(self, image: str = "v1") -> None:
        """Commit the first version, let the operator pull it, and let users in when it serves."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        self.stage.do(self.stage.sandbox.load([namespace]))
        self.stage.do(self.witness.start())
        (self.repository.clone.parent / "shop-content").mkdir(parents=True)
        self.stage.do(self.repository.create(self.repository.clone.parent / "shop-content"))
        self.commit(f"shop {image}", image)
        source = yaml.safe_load((DEMO / "gitsource.yaml").read_text())
        source["metadata"]["namespace"] = self.namespace
        source["spec"] |= {"url": self.repository.url, "path": "."}
        self.stage.do(self.stage.sandbox.load([source]))
        self.until(
            lambda: self.phase == "Healthy" and self.status.get("stableRS"), 40, "the first version serves"
        )
        self.until(lambda: self.stage.do(self.witness.answered(self.host)), 10, "the proxy knows the route")
        self._load = Load(self.stage.sandbox.proxy_url, host=self.host, rate=self.rate, seconds=LONGEST_S)
        self.stage.do(self._load.start())
        self.stage.sandbox.submit(self._follow(self._load))
        self.until(lambda: self.report.requests(image) > self.rate, 20, "users are answered")

    async def _follow(self, load: Load) -> None:
        while not load.report.final:
            self.reports.append(await load.next_report())

    def commit(self, subject: str, image: str = "") -> str:
        """Write the manifests as they stand now, with `image` where one is named, and push them."""
        if image:
            self.pod_spec["containers"][0]["image"] = f"shop:{image}"
        text = yaml.safe_dump_all(self.objects.values(), sort_keys=False)
        (self.repository.clone / "shop.yaml").write_text(text)
        return self.stage.do(self.repository.push(subject))

    @property
    def pod_spec(self) -> Manifest:
        found: Manifest = self.objects[f"Rollout/{NAME}"]["spec"]["template"]["spec"]
        return found

    def close(self) -> None:
        """Send the users home and take everything down."""
        if self._load is not None:
            self.stage.do(self._load.stop())
        self.stage.do(self.witness.stop())

        self.stage.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")

    def until(self, holds: Callable[[], Any], within_s: float, what: str) -> None:
        """Wait until something holds of what the witness sees."""
        self.witness.until(
            holds, within_s, f"{what}; the status is {yaml.safe_dump(dict(self.status))[:3000]}"
        )

    @property
    def rollout(self) -> Object:
        return self.witness.last("rollouts", NAME)

    @property
    def status(self) -> Object:
        return self.rollout.get("status") or {}

    @property
    def phase(self) -> str:
        return self.status.get("phase", "")

    def condition(self, kind: str) -> bool:
        return is_true(self.status, kind)

    @property
    def report(self) -> LoadReport:
        """What users saw up to now."""
        return self._load.report if self._load is not None else LoadReport()

    def at_rest(self, version: str) -> bool:
        """Whether what Git wants now has come to an end, and when it did its image was `version`."""
        image = (
            self.rollout.get("spec", {})
            .get("template", {})
            .get("spec", {})
            .get("containers", [{}])[0]
            .get("image")
        )
        rested = self.status.get("stage") in ("Stable", "Refused")
        current = self.status.get("observedGeneration") == self.rollout.get("metadata", {}).get("generation")
        ended = any(each["version"] == f"shop:{version}" for each in self.status.get("history", ()))
        return image == f"shop:{version}" and rested and current and ended

    def newest(self) -> Object:
        """The newest entry of the history."""
        return max(self.status["history"], key=lambda entry: entry["at"])

    def weight(self) -> int:
        """The canary's weight as it stands in the route."""
        return weight_of(self.witness.last("httproutes", NAME), CANARY)

    def labels(self, service: str) -> Object:
        """The labels of a Service as it stands."""
        found: Object = self.witness.last("services", service)["metadata"].get("labels", {})
        return found

    def service(self, name: str) -> str:
        """How the proxy's counters name a Service."""
        return f"{self.namespace}-{name}"

    def settle_load(self) -> LoadReport:
        """Send the users home, wait for their last answers, and read the pods' counters once more."""
        assert self._load is not None
        report = self.stage.do(self._load.stop())
        self.stage.do(self.witness.look_at_pods())
        self.witness.hear_last_words()
        return report

    def lost(self) -> dict[str, tuple[int, int]]:
        """(what users got, what the pods counted) wherever these differ; the users go home first."""
        report, pods = self.settle_load(), self.witness.pods.values()
        pairs = {f"{code} by nobody": (count, 0) for code, count in report.counts.get(NOBODY, {}).items()}
        for version in set(report.counts) - {NOBODY}:
            counted, failed = answers(pods, version)
            pairs[f"answers of {version}"] = (report.requests(version), counted)
            pairs[f"failures of {version}"] = (report.failed(version), failed)
        return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}

    def over_allowance(self) -> list[str]:
        """Where the proxy sent more to the canary than the step under way allowed."""
        rollouts = self.witness.versions("rollouts", NAME)
        return overruns(rollouts, self.witness.proxy, self.service(STABLE), self.service(CANARY))

    def runs(self) -> list[Seen]:
        """Every AnalysisRun that there ever was, once."""
        return list({each.name: each for each in self.witness.seen["analysisruns"]}.values())

    def scaled_down_at(self, revision: str) -> float:
        """When the pods of a revision were told to go, after it had some."""
        versions = self.witness.versions("replicasets", f"{NAME}-{revision}")
        sized = [(each.at, each.object["spec"]["replicas"]) for each in versions]
        return next(at for (_, before), (at, after) in pairwise(sized) if before > 0 and after == 0)

    def annotate(self, key: str, reason: str) -> None:
        """`kubectl annotate`, as a person would."""
        self.stage.kubectl(
            "annotate",
            f"rollouts.progressive.delivery/{NAME}",
            f"--namespace={self.namespace}",
            f"progressive.delivery/{key}={reason}",
        )

    def note_says(self, commit: str, verdict: str) -> bool:
        """Whether the operator's note on a commit holds a verdict."""
        return f'"{verdict}"' in self.stage.do(self.repository.note(commit))

    def story(self) -> str:
        """What the witness saw of the Rollout, for people who look for a failure."""
        seen = self.witness.seen["rollouts"]
        began = seen[0].at if seen else time.time()
        lines = [
            f"{each.at - began:7.2f} s {each.status.get('stage')} {each.status.get('step', '')} "
            f"{each.status.get('phase')} {each.status.get('message', '')}"
            for each in seen
        ]
        lines += [
            f"{each.at - began:7.2f} s {each.object.get('reason')}: {each.object.get('message')}"
            for each in self.witness.seen["events"]
        ]
        return "\n".join(str(line) for line in changes(lines))


def pods_of(shop: Shop, version: str) -> list[str]:
    """Names of a version's pods that are ready and not on their way out."""
    newest = {each.name: each for each in shop.witness.seen["pods"]}
    return [
        name
        for name, each in newest.items()
        if each.object["spec"]["containers"][0]["image"] == f"shop:{version}" and each.serves
    ]


def is_true(status: Object, kind: str) -> bool:
    """Whether a condition is True in a status."""
    return any(each["type"] == kind and each["status"] == "True" for each in status.get("conditions", ()))
