"""Real kubectl can't tell."""

import json

import pytest

WIDGET = """
apiVersion: example.com/v1
kind: Widget
metadata: {{name: a, namespace: {namespace}}}
spec: {{size: {size}}}
"""


@pytest.fixture
def kubectl(cluster, namespace):
    def run(*arguments, text=None):
        return cluster.kubectl("-n", namespace, *arguments, text=text)

    return run


def said(result):
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def widget(kubectl, namespace):
    def apply(size, *flags):
        return kubectl("apply", *flags, "-f", "-", text=WIDGET.format(namespace=namespace, size=size))

    return apply


def test_apply_creates_then_changes_then_says_unchanged(widget):
    assert "created" in said(widget(1))
    assert "unchanged" in said(widget(1))
    assert "configured" in said(widget(2))


def test_apply_refuses_unknown_fields_by_their_path(kubectl, namespace):
    text = WIDGET.format(namespace=namespace, size=1).replace("size:", "sise: 2, size:")
    result = kubectl("apply", "-f", "-", text=text)
    assert result.returncode == 1
    assert 'unknown field "spec.sise"' in result.stderr


def test_server_side_apply_names_the_manager_it_conflicts_with_and_force_takes_the_field(kubectl, widget):
    said(widget(1))
    refused = widget(2, "--server-side")
    assert refused.returncode == 1
    assert 'conflict with "kubectl-client-side-apply" using example.com/v1: .spec.size' in refused.stderr
    assert "serverside-applied" in said(widget(2, "--server-side", "--force-conflicts"))
    assert said(kubectl("get", "widget", "a", "-o", "jsonpath={.spec.size}")) == "2"


def test_get_prints_the_definitions_columns_and_selects_by_label(kubectl, widget):
    said(widget(7))
    said(kubectl("label", "widget", "a", "tier=front"))
    lines = said(kubectl("get", "wd", "-l", "tier=front")).splitlines()
    assert lines[0].split() == ["NAME", "SIZE", "READY"]
    assert lines[1].split() == ["a", "7"]
    assert "No resources found" in kubectl("get", "wd", "-l", "tier=back").stderr


def test_diff_shows_the_change_and_exits_with_one(kubectl, widget, namespace):
    said(widget(1))
    result = kubectl("diff", "-f", "-", text=WIDGET.format(namespace=namespace, size=9))
    assert result.returncode == 1
    assert "+  size: 9" in result.stdout


def test_a_failed_json_patch_test_is_refused_and_a_merge_patch_is_taken(kubectl, widget):
    said(widget(1))
    test = json.dumps([{"op": "test", "path": "/spec/size", "value": 5}])
    assert kubectl("patch", "widget", "a", "--type=json", "-p", test).returncode == 1
    said(kubectl("patch", "widget", "a", "--type=merge", "-p", '{"spec":{"size":4}}'))
    assert said(kubectl("get", "widget", "a", "-o", "jsonpath={.spec.size}")) == "4"


def test_wait_sees_a_condition_that_the_status_subresource_got(kubectl, widget):
    said(widget(1))
    status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    said(kubectl("patch", "widget", "a", "--subresource=status", "--type=merge", "-p", json.dumps(status)))
    assert "condition met" in said(kubectl("wait", "--for=condition=Ready", "widget/a", "--timeout=10s"))
    assert kubectl("wait", "--for=condition=Lost", "widget/a", "--timeout=100ms").returncode == 1


def test_annotate_scale_replace_and_describe_work_on_a_custom_resource(kubectl, widget, namespace):
    said(widget(1))
    said(kubectl("annotate", "widget", "a", "example.com/abort=too slow"))
    assert "too slow" in said(kubectl("describe", "widget", "a"))
    said(kubectl("scale", "widget/a", "--replicas=6"))
    assert said(kubectl("get", "widget", "a", "-o", "jsonpath={.spec.size}")) == "6"
    said(kubectl("replace", "-f", "-", text=WIDGET.format(namespace=namespace, size=8)))
    assert "too slow" not in said(kubectl("describe", "widget", "a"))


def test_explain_reads_the_schema(kubectl):
    assert "how big" in said(kubectl("explain", "widgets.spec"))
    assert "containers" in said(kubectl("explain", "pods.spec"))


def test_create_of_simple_kinds_and_delete_with_wait(kubectl):
    said(kubectl("create", "configmap", "c", "--from-literal=k=v"))
    said(kubectl("create", "secret", "generic", "s", "--from-literal=k=v"))
    assert said(kubectl("get", "configmap", "c", "-o", "jsonpath={.data.k}")) == "v"
    assert "deleted" in said(kubectl("delete", "configmap/c", "secret/s"))
    assert "NotFound" in kubectl("get", "configmap", "c").stderr


def test_a_deployment_is_applied_patched_and_listed(kubectl):
    said(kubectl("apply", "-f", "-", text=DEPLOYMENT))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "img:2"}]}}}}
    said(kubectl("patch", "deployment", "d", "-p", json.dumps(patch)))
    lines = said(kubectl("get", "deployments", "-o", "wide")).splitlines()
    assert lines[1].split()[:2] == ["d", "0/2"]
    assert "img:2" in lines[1]


DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  replicas: 2
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec: {containers: [{name: c, image: "img:1", ports: [{containerPort: 80}]}]}
"""


def test_events_are_listed_and_shown_by_describe(kubectl, widget, namespace):
    said(widget(1))
    uid = said(kubectl("get", "widget", "a", "-o", "jsonpath={.metadata.uid}"))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "a."},
        "involvedObject": {"kind": "Widget", "name": "a", "namespace": namespace, "uid": uid},
        "reason": "Grown",
        "message": "it grew",
        "type": "Normal",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }
    said(kubectl("create", "-f", "-", text=json.dumps(event)))
    assert "it grew" in said(kubectl("get", "events"))
    assert "Grown" in said(kubectl("describe", "widget", "a"))


def test_api_resources_lists_short_names_and_kinds(kubectl):
    listed = said(kubectl("api-resources", "--api-group=example.com"))
    assert "wd" in listed
    assert "Widget" in listed


def test_a_watch_prints_changes_as_they_come(cluster, kubectl, widget, namespace):
    said(widget(1))
    result = kubectl("get", "widget", "-w", "--request-timeout=1s")
    assert result.stdout.splitlines()[1].split()[0] == "a"


def test_who_has_no_role_may_not_read_and_can_i_says_so(cluster, kubectl, namespace):
    token = cluster.server.issue_token("visitor")
    config = cluster.config(token, f"visitor-{namespace}")
    refused = cluster.kubectl("-n", namespace, "get", "pods", config=config)
    assert 'User "visitor" cannot list resource "pods" in API group ""' in refused.stderr
    assert cluster.kubectl("auth", "can-i", "list", "pods", "-n", namespace, config=config).stdout == "no\n"
    said(kubectl("create", "role", "reader", "--verb=list", "--resource=pods"))
    said(kubectl("create", "rolebinding", "reader", "--role=reader", "--user=visitor"))
    assert cluster.kubectl("auth", "can-i", "list", "pods", "-n", namespace, config=config).stdout == "yes\n"
    assert cluster.kubectl("auth", "can-i", "list", "pods", "-n", "default", config=config).stdout == "no\n"
    assert cluster.kubectl("-n", namespace, "get", "pods", config=config).returncode == 0


def test_what_is_not_built_is_refused_with_501(cluster, kubectl, namespace):
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    said(kubectl("create", "-f", "-", text=json.dumps(pod)))
    assert "does not implement pods/log" in kubectl("logs", "p").stderr


def listed(*bodies):
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})


def test_a_list_is_applied_and_its_items_are_validated(kubectl, namespace):
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "listed"}, "data": {"k": "v"}}
    custom = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "listed", "namespace": namespace},
        "spec": {"size": 1},
    }
    said(kubectl("apply", "-f", "-", text=listed(settings, custom)))
    assert said(kubectl("apply", "-f", "-", text=listed(settings, custom))).count("unchanged") == 2
    for wrong, field in (({**settings, "dta": {}}, "dta"), ({**custom, "spec": {"sise": 1}}, "sise")):
        refused = kubectl("apply", "-f", "-", text=listed(wrong))
        assert refused.returncode == 1
        assert (
            f'unknown field "{field}"' in refused.stderr or f'unknown field "spec.{field}"' in refused.stderr
        )
