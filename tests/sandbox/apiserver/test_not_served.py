"""What this server does not build it refuses with 501, and never makes up; what nobody installed is 404."""

import json
import urllib.error
import urllib.request
from ssl import create_default_context

import pytest

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
WEBHOOK = {
    "strategy": "Webhook",
    "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com"}},
}
IN = "/api/v1/namespaces/{namespace}"


def definition(schema=None, conversion=None):
    spec = {
        "group": "elsewhere.example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": schema or {"type": "object"}},
            }
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.elsewhere.example.com"},
        "spec": spec | ({"conversion": conversion} if conversion else {}),
    }


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
def ask(cluster, namespace):
    """The status and the Status of one request."""
    context = create_default_context(cadata=cluster.server.ca_pem)

    def send(method, path, body=None, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {cluster.server.admin_token}", "Content-Type": kind}
        url = cluster.server.url + path.format(namespace=namespace)
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=context) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()

    assert send("POST", f"{IN}/pods", POD)[0] == 201
    return send


@pytest.mark.parametrize(
    ("method", "path", "body", "kind"),
    [
        pytest.param("GET", f"{IN}/pods/p/log", None, "", id="logs"),
        pytest.param("POST", f"{IN}/pods/p/exec?command=ls", None, "", id="exec"),
        pytest.param("GET", f"{IN}/pods/p/exec?command=ls", None, "", id="exec by WebSocket"),
        pytest.param("POST", f"{IN}/pods/p/attach", None, "", id="attach"),
        pytest.param("POST", f"{IN}/pods/p/portforward", None, "", id="port-forward"),
        pytest.param("GET", f"{IN}/pods/p/proxy", None, "", id="a proxy to a pod"),
        pytest.param(
            "PATCH",
            f"{IN}/pods/p/ephemeralcontainers",
            {"spec": {}},
            "application/strategic-merge-patch+json",
            id="debug containers",
        ),
        pytest.param(
            "PATCH",
            f"{IN}/pods/p/resize",
            {"spec": {}},
            "application/strategic-merge-patch+json",
            id="resizing a pod in place",
        ),
        pytest.param(
            "POST", DEFINITIONS, definition(conversion=WEBHOOK), "application/json", id="conversion webhooks"
        ),
        pytest.param(
            "POST",
            f"{IN}/pods",
            b"k8s\x00\n\x09\n\x02v1\x12\x03Pod\x12\x00",
            "application/vnd.kubernetes.protobuf",
            id="protobuf of most kinds",
        ),
        pytest.param("GET", "/openapi/v2", None, "", id="OpenAPI v2 as JSON"),
        pytest.param("GET", "/metrics", None, "", id="metrics of the server"),
        pytest.param("GET", "/logs/kube-apiserver.log", None, "", id="files of the server"),
    ],
)
def test_what_is_not_built_is_501(ask, method, path, body, kind):
    status, told = ask(method, path, body, kind)
    found = json.loads(told)
    assert (status, found["kind"], found["reason"]) == (501, "Status", "NotImplemented")
    assert found["message"].startswith("the embedded API server does not implement ")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/apis/metrics.k8s.io/v1beta1/pods", id="metrics of pods"),
        pytest.param("/apis/admissionregistration.k8s.io/v1beta1/validatingadmissionpolicies", id="policies"),
        pytest.param("/apis/storage.k8s.io/v1/storageclasses", id="storage"),
        pytest.param("/apis/certificates.k8s.io/v1/certificatesigningrequests", id="certificates"),
        pytest.param("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", id="flow control"),
        pytest.param("/apis/apiregistration.k8s.io/v1/apiservices", id="aggregated servers"),
        pytest.param("/apis/autoscaling/v1/horizontalpodautoscalers", id="an older version"),
    ],
)
def test_what_is_not_served_is_404_and_not_listed(ask, path):
    assert ask("GET", path)[0] == 404
    listed = {group["name"] for group in json.loads(ask("GET", "/apis")[1])["groups"]}
    group, version = path.split("/")[2:4]
    if group in listed:
        versions = json.loads(ask("GET", f"/apis/{group}")[1])["versions"]
        assert version not in {each["version"] for each in versions}
