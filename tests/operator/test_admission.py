"""Real kubectl on a cluster whose API server asks the operator, set up by `rollout manifests --admission`."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme
import yaml
from aiohttp import web

from rollout import manifests
from rollout.api import crd
from rollout.operator.app import operating
from rollout.sandbox import crds
from rollout.sandbox.cluster import Sandbox
from rollout.settings import Settings

ACCOUNT = ("rollout-system", "rollout")
HOST = "rollout-admission.rollout-system.svc"
API = "progressive.delivery/v1alpha1"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Hour:
    """A Prometheus that counted 10 requests a second, 1 % of them bad, and 3000 of `busy`; of `mute` it
    never says anything.
    """

    asked: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        expression = str(form.get("query") or request.query.get("query"))
        self.asked += 1
        if "mute" in expression:
            await self.over.wait()
        rps = 3000.0 if "busy" in expression else 10.0
        value = 3600 * rps * (0.01 if 'code="500"' in expression else 1.0)
        if expression.startswith("sum_over_time"):
            value = 240.0
        result = [] if "canary" in expression else [{"metric": {}, "value": [0, str(value)]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})


@dataclass
class Place:
    """A cluster with the webhook, and a person with kubectl."""

    sandbox: Sandbox
    hour: Hour
    folder: Path
    port: int

    async def kubectl(self, *arguments: str, body: Any = None) -> tuple[int, str, str]:
        """(exit code, stdout, stderr)."""
        program = Path(sys.executable).with_name("kubectl")
        child = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            env={**os.environ, "KUBECONFIG": str(self.sandbox.kubeconfig), "HOME": str(self.folder)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate(yaml.safe_dump(body).encode() if body else b"")
        assert child.returncode is not None
        return child.returncode, out.decode(), err.decode()

    async def apply(self, body: Any) -> tuple[int, str]:
        """(exit code, stderr) of an apply."""
        code, _, err = await self.kubectl("apply", "-f", "-", body=body)
        return code, err


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder, hour = tmp_path_factory.mktemp("admission"), Hour()
    authority = trustme.CA()
    written(authority, folder)
    prometheus = web.AppRunner(_application(hour))
    await prometheus.setup()
    await web.TCPSite(prometheus, "127.0.0.1", 0).start()
    async with Sandbox("none", prometheus=False) as sandbox:
        await sandbox.load(yaml.safe_load_all("---\n".join(crd.rendered().values())))
        await sandbox.load_manifests(Path(str(crds.__file__)).parent)
        text = manifests.with_admission(authority=authority.cert_pem.bytes())
        await sandbox.load(yaml.safe_load_all(text))
        settings = Settings(
            kubeconfig=str(sandbox.kubeconfig_for(*ACCOUNT)),
            metrics_host="127.0.0.1",
            metrics_port=0,
            prometheus=f"http://127.0.0.1:{prometheus.addresses[0][1]}",
            admission="127.0.0.1:0",
            admission_certificate=str(folder),
        )
        async with operating(settings) as operator:
            await sandbox.load([_slice(operator.admission_port)])
            yield Place(sandbox, hour, folder, operator.admission_port)
            hour.over.set()
    await prometheus.cleanup()


def _application(hour: Hour) -> web.Application:
    application = web.Application()
    application.router.add_route("*", "/api/v1/query", hour.answer)
    return application


def written(authority: trustme.CA, folder: Path) -> None:
    """A certificate, as the kubelet mounts a Secret."""
    issued = authority.issue_cert(HOST)
    (folder / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    (folder / "tls.key").write_bytes(issued.private_key_pem.bytes())


def _slice(port: int) -> dict[str, Any]:
    """What a controller would make of the Service and the pod."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "rollout-admission-1",
            "namespace": "rollout-system",
            "labels": {"kubernetes.io/service-name": "rollout-admission"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"]}],
        "ports": [{"name": "admission", "port": port}],
    }


def asked(name: str) -> dict[str, Any]:
    return {"templates": [{"templateName": name}]}


def rollout(name: str, **changed: Any) -> dict[str, Any]:
    canary = {
        "stableService": "shop-stable",
        "canaryService": "shop-canary",
        "trafficRouting": {"gatewayAPI": {"httpRoutes": [{"name": "shop"}]}},
        "analysis": asked("errors"),
        "steps": [{"setWeight": 5}, {"judge": {}}],
    }
    labels = {"app": "shop"}
    containers = [{"name": "shop", "image": "shop:v1"}]
    return {
        "apiVersion": API,
        "kind": "Rollout",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            "strategy": {"canary": canary | changed},
        },
    }


def template(name: str, **compare: Any) -> dict[str, Any]:
    counted = {
        "proportion": {"bad": f'{name}_total{{code="500"}}', "total": f"{name}_total"},
        "arms": {"stable": 'arm="stable"', "canary": 'arm="canary"'},
    }
    return {
        "apiVersion": API,
        "kind": "AnalysisTemplate",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"metrics": [{"name": "errors", "compare": counted | compare}]},
    }


async def test_a_step_that_cant_reach_its_margin_is_told_as_it_is_applied(place: Place) -> None:
    assert await place.apply(template("errors")) == (0, "")
    code, said = await place.apply(rollout("too-short"))
    assert code == 0
    assert said.startswith("Warning: step 1 (judge at 5 %) has 10 min: to prove a good canary takes "), said


async def test_enough_traffic_needs_no_word(place: Place) -> None:
    assert await place.apply(template("busy")) == (0, "")
    assert await place.apply(rollout("long-enough", analysis=asked("busy"))) == (0, "")


async def test_what_lint_would_warn_of_is_a_warning(place: Place) -> None:
    code, said = await place.apply(rollout("unjudged", steps=[{"setWeight": 5}]))
    assert code == 0
    assert "Warning: spec.strategy.canary.steps: no step waits for evidence (add `judge: {}`" in said


async def test_a_template_that_is_missing_is_a_warning_since_it_may_come_with_the_same_apply(
    place: Place,
) -> None:
    lacking = rollout("early", analysis=asked("later"))
    code, said = await place.apply(lacking)
    assert code == 0
    assert "AnalysisTemplate 'later' does not exist" in said


async def test_a_template_that_no_run_could_ask_is_refused_by_what_the_parser_says(place: Place) -> None:
    wrong = template("wrong", tolerate={"relative": "90%"}, unacceptable={"relative": "20%"})
    code, said = await place.apply(wrong)
    assert code == 1
    assert "spec.metrics[0].compare" in said
    assert (await place.kubectl("get", "analysistemplate", "wrong"))[0] == 1


async def test_a_condition_that_nothing_could_evaluate_is_refused_with_its_place(place: Place) -> None:
    held = template("held")
    held["spec"]["metrics"] = [
        {
            "name": "ratio",
            "successCondition": "result[0] >=",
            "provider": {"prometheus": {"query": "up"}},
        }
    ]
    code, said = await place.apply(held)
    assert code == 1
    assert "spec.metrics[0].successCondition" in said


async def test_a_source_that_could_never_be_read_is_refused_with_its_field(place: Place) -> None:
    source = {
        "apiVersion": API,
        "kind": "GitSource",
        "metadata": {"name": "told", "namespace": "default"},
        "spec": {"url": "https://me:password@git.example.com/shop.git"},
    }
    code, said = await place.apply(source)
    assert code == 1
    assert "spec.url: must not hold a password: put it into the Secret that secretRef names" in said


async def test_a_change_of_metadata_alone_is_never_asked_about(place: Place) -> None:
    await place.apply(template("errors"))
    await place.apply(rollout("annotated"))
    before = place.hour.asked
    done = await place.kubectl(
        "annotate", "rollouts.progressive.delivery/annotated", "progressive.delivery/pause=wait"
    )
    assert (done[0], done[2]) == (0, "")
    assert place.hour.asked == before


async def test_a_prometheus_that_does_not_answer_holds_nobody_up(place: Place) -> None:
    assert await place.apply(template("mute")) == (0, "")
    assert await place.apply(rollout("unanswered", analysis=asked("mute"))) == (0, "")


async def test_a_renewed_certificate_is_used_from_the_next_question_on(place: Place) -> None:
    await place.apply(template("errors"))
    other = trustme.CA()
    bundle = other.cert_pem.bytes()
    renewed = yaml.safe_load_all(manifests.with_admission(authority=bundle))
    written(other, place.folder)
    await place.sandbox.load(body for body in renewed if body["kind"] == "ValidatingWebhookConfiguration")
    _, said = await place.apply(rollout("renewed"))
    assert said.startswith("Warning: step 1"), said
