"""Documents to manifests of one namespace: shape, ownership, order, and the place of every field."""

import pytest

from rollout.git.errors import ManifestsRefused
from rollout.git.manifests import Manifest, Parser, apply_order, parse
from rollout.git.revision import Blob

ROLLOUT = """\
# the shop
apiVersion: progressive.delivery/v1alpha1
kind: Rollout
metadata:
  name: checkout
  labels:
    app.kubernetes.io/name: checkout
spec:
  strategy:
    canary:
      steps:
      - setWeight: 5
      - pause:
          duration: 30s
      - setWeight: 25
  template:
    spec:
      containers:
      - name: app
        image: shop:v1
        ports:
        - containerPort: 8080
          protocol: TCP
      - {name: proxy, image: "envoy:1"}
"""


def blob(text: str, path: str = "apps/a.yaml") -> Blob:
    return Blob(path, f"{hash((path, text)):x}", text.encode())


def read(text: str, path: str = "apps/a.yaml", namespace: str = "shop") -> tuple[Manifest, ...]:
    return parse([blob(text, path)], namespace)


def config(name: str, more: str = "", metadata: str = "") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}{metadata}}}\n{more}"


def test_a_manifest_knows_its_name_its_kind_and_its_place() -> None:
    (manifest,) = read(ROLLOUT)
    assert (str(manifest), manifest.group, manifest.api_version) == (
        "Rollout shop/checkout",
        "progressive.delivery",
        "progressive.delivery/v1alpha1",
    )
    assert (manifest.path, manifest.line, manifest.column) == ("apps/a.yaml", 2, 1)


def test_the_namespace_is_set_where_it_is_absent() -> None:
    assert [manifest.body["metadata"]["namespace"] for manifest in read(ROLLOUT)] == ["shop"]


def test_the_namespace_may_be_written_out() -> None:
    assert [m.namespace for m in read(config("a", metadata=", namespace: shop"))] == ["shop"]


def test_what_is_cluster_scoped_gets_no_namespace() -> None:
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"
    (manifest,) = parse([blob(text)], "shop", {("", "Namespace")})
    assert (str(manifest), manifest.body["metadata"]) == ("Namespace shop", {"name": "shop"})


@pytest.mark.parametrize(
    ("field", "written"),
    [
        ("spec.template.spec.containers[0].image", "image: shop:v1"),
        (".spec.template.spec.containers[0].image", "image: shop:v1"),
        ('.spec.template.spec.containers[name="app"].image', "image: shop:v1"),
        ('spec.template.spec.containers[name="proxy"].image', 'image: "envoy:1"'),
        (
            '.spec.template.spec.containers[name="app"].ports[containerPort=8080,protocol="TCP"].protocol',
            "protocol: TCP",
        ),
        ("spec.strategy.canary.steps[2].setWeight", "setWeight: 25"),
        ("spec.strategy.canary.steps[1].pause.duration", "duration: 30s"),
        ("metadata.labels[app.kubernetes.io/name]", "app.kubernetes.io/name"),
        ('metadata.labels["app.kubernetes.io/name"]', "app.kubernetes.io/name"),
        ("metadata.labels.app.kubernetes.io/name", "app.kubernetes.io/name"),
        ("spec.selector", "spec:"),
        ("spec.strategy.canary.steps[7]", "steps:"),
        ("spec.strategy.canary.steps[99999999999999].x", "steps:"),
        ("spec.strategy.canary.steps[x]", "steps:"),
        ("spec.template.spec.containers[0].image.deeper", "image: shop:v1"),
        ("status.phase", "apiVersion"),
        ("", "apiVersion"),
        ("<nil>", "apiVersion"),
        ("]][[..", "apiVersion"),
    ],
)
def test_what_the_server_says_of_a_field_is_said_of_its_line(field: str, written: str) -> None:
    (manifest,) = read(ROLLOUT)
    line, column = manifest.position(field)
    assert ROLLOUT.splitlines()[line - 1][column - 1 :].startswith(written)


def test_a_problem_names_file_line_column_and_object() -> None:
    (manifest,) = read(ROLLOUT)
    problem = manifest.problem("spec.template.spec.containers[0].image", "must not be latest")
    assert str(problem) == "apps/a.yaml:20:9: Rollout shop/checkout: must not be latest"


def test_a_list_is_taken_apart_and_its_items_keep_their_places() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: a\n"
    )
    (manifest,) = read(
        text
        + config("b")
        .replace("apiVersion", "- apiVersion")
        .replace("\nkind", "\n  kind")
        .replace("\nmeta", "\n  meta")
    )[:1]
    assert (str(manifest), manifest.line, manifest.column) == ("ConfigMap shop/a", 4, 3)
    assert manifest.position("metadata.name") == (7, 5)


def test_what_generators_leave_empty_is_left_out() -> None:
    (manifest,) = read(config("a", "status: {}\n", ", creationTimestamp: null"))
    assert manifest.body == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "shop"},
    }


@pytest.mark.parametrize(
    ("text", "place", "complaint"),
    [
        pytest.param("- 1", "1:1", "a manifest is a mapping", id="a list"),
        pytest.param("just text", "1:1", "a manifest is a mapping", id="text"),
        pytest.param("kind: A\nmetadata: {name: a}", "1:1", "apiVersion is missing", id="no apiVersion"),
        pytest.param("apiVersion: v1\nmetadata: {name: a}", "1:1", "kind is missing", id="no kind"),
        pytest.param(
            "apiVersion: v1\nkind: [A]", "2:1", "kind is missing or not one", id="a kind that is a list"
        ),
        pytest.param(
            "apiVersion: ../v1\nkind: A", "1:1", "apiVersion is missing or not one", id="a path as apiVersion"
        ),
        pytest.param("apiVersion: v1\nkind: A", "1:1", "metadata with a name", id="no metadata"),
        pytest.param(
            "apiVersion: v1\nkind: A\nmetadata: {}", "3:1", "metadata.name is missing", id="no name"
        ),
        pytest.param(
            "apiVersion: v1\nkind: A\nmetadata: {name: 1}", "3:12", "quote it", id="a number as a name"
        ),
        pytest.param(
            "apiVersion: v1\nkind: A\nmetadata: {name: ../b}", "3:12", "is not a name", id="a path as a name"
        ),
        pytest.param(
            config("a", metadata=", namespace: kube-system"),
            "3:21",
            "not to 'kube-system'",
            id="another namespace",
        ),
        pytest.param(config("a", "status: {a: 1}"), "4:1", "status is written by controllers", id="a status"),
        pytest.param(config("a", "sops: {mac: x}"), "4:1", "encrypted with SOPS", id="an encrypted file"),
        pytest.param(
            "apiVersion: v1\nkind: PodList\nitems: []",
            "2:1",
            "write its items as documents",
            id="a typed list",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items: []",
            "5:3",
            "a List can't be applied here",
            id="a list in a list",
        ),
        pytest.param(
            "apiVersion: v1\nkind: List\nitems:\n- 7",
            "4:3",
            "a manifest is a mapping",
            id="a list of numbers",
        ),
        *(
            pytest.param(config("a", metadata=f", {name}: {value}"), "3:21", f"metadata.{name} is", id=name)
            for name, value in {
                "ownerReferences": "[{uid: x}]",
                "finalizers": "[x]",
                "managedFields": "[{}]",
                "uid": "x",
                "resourceVersion": "'1'",
                "generateName": "x",
                "deletionTimestamp": "x",
                "generation": "2",
            }.items()
        ),
    ],
)
def test_what_is_no_object_of_this_source_is_refused_where_it_stands(
    text: str, place: str, complaint: str
) -> None:
    with pytest.raises(ManifestsRefused) as refusal:
        read(text)
    assert refusal.value.reason == "MalformedManifest"
    (problem,) = refusal.value.problems
    assert f"{problem.line}:{problem.column}" == place
    assert complaint in problem.message


def test_the_same_object_twice_is_refused_naming_both_places() -> None:
    with pytest.raises(ManifestsRefused) as refusal:
        parse([blob(config("a"), "x.yaml"), blob(f"---\n{config('b')}---\n{config('a')}", "y.yaml")], "shop")
    assert str(refusal.value) == "y.yaml:6:1: ConfigMap shop/a is already given at x.yaml:1: keep one of them"


def test_the_same_object_in_two_api_versions_is_the_same_object() -> None:
    texts = [
        f"apiVersion: autoscaling/{v}\nkind: HorizontalPodAutoscaler\nmetadata: {{name: a}}\n"
        for v in ("v1", "v2")
    ]
    with pytest.raises(ManifestsRefused, match="already given"):
        read("---\n".join(texts))


def test_all_problems_of_a_revision_are_named_not_only_the_first() -> None:
    bad = {
        "a.yaml": "a: b: c",
        "b.yaml": config("b", "status: {a: 1}", ", uid: x"),
        "c.yaml": config("c"),
        "d.yaml": "- 1",
    }
    with pytest.raises(ManifestsRefused) as refusal:
        parse([blob(text, path) for path, text in bad.items()], "shop")
    assert [f"{p.path}:{p.line}" for p in refusal.value.problems] == [
        "a.yaml:1",
        "b.yaml:3",
        "b.yaml:4",
        "d.yaml:1",
    ]


def test_a_kustomization_that_only_lists_files_is_passed_over() -> None:
    text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"
    assert read(text, "apps/kustomization.yaml") == ()


def test_a_kustomization_that_would_change_objects_is_refused() -> None:
    with pytest.raises(ManifestsRefused, match=r"apps/kustomization\.yaml:2:1: kustomize is not run here"):
        read("resources: [a.yaml]\nimages: [{name: x, newTag: v2}]\n", "apps/kustomization.yaml")


def test_files_without_objects_are_no_error() -> None:
    assert parse([blob("# nothing yet\n"), blob("", "b.yaml")], "shop") == ()


def test_rollouts_come_last_and_what_others_need_comes_first() -> None:
    kinds = {
        "Rollout": "progressive.delivery/v1alpha1",
        "HTTPRoute": "gateway.networking.k8s.io/v1",
        "Service": "v1",
        "AnalysisTemplate": "progressive.delivery/v1alpha1",
        "Deployment": "apps/v1",
        "ConfigMap": "v1",
        "ServiceAccount": "v1",
        "Secret": "v1",
        "Namespace": "v1",
    }
    text = "---\n".join(f"apiVersion: {v}\nkind: {k}\nmetadata: {{name: a}}\n" for k, v in kinds.items())
    assert [manifest.kind for manifest in apply_order(read(text))] == [
        *("Namespace", "ServiceAccount", "Secret", "ConfigMap", "Deployment"),
        *("Service", "HTTPRoute", "AnalysisTemplate", "Rollout"),
    ]


def test_the_order_does_not_depend_on_the_files() -> None:
    blobs = [blob(config(name), f"{name}.yaml") for name in "cab"]
    orders = {tuple(m.name for m in apply_order(parse(order, "shop"))) for order in (blobs, blobs[::-1])}
    assert orders == {("a", "b", "c")}


def test_a_parser_parses_a_content_once_and_again_after_a_refusal() -> None:
    parser = Parser()
    good, bad = blob(config("a"), "a.yaml"), blob("a: b: c", "b.yaml")
    with pytest.raises(ManifestsRefused):
        parser.parse([good, bad], "shop")
    assert len(parser.parse([good, blob(config("b"), "b.yaml")], "shop")) == 2
    assert parser.parsed == 3


def test_the_same_content_at_two_paths_is_placed_at_each() -> None:
    text = config("a")
    blobs = [Blob("x.yaml", "1", text.encode()), Blob("y.yaml", "1", text.encode())]
    with pytest.raises(
        ManifestsRefused, match=r"y\.yaml:1:1: ConfigMap shop/a is already given at x\.yaml:1"
    ):
        parse(blobs, "shop")


def test_two_namespaces_read_the_same_content_for_themselves() -> None:
    parser = Parser()
    content = blob(config("a"))
    assert [parser.parse([content], namespace)[0].namespace for namespace in ("one", "two")] == ["one", "two"]


def test_a_file_is_read_again_once_its_kind_is_known_to_have_no_namespace() -> None:
    parser = Parser()
    content = blob("apiVersion: example.com/v1\nkind: Room\nmetadata: {name: a}\n")
    scopes: list[list[tuple[str, str]]] = [[], [("example.com", "Room")]]
    assert [parser.parse([content], "shop", scope)[0].namespace for scope in scopes] == ["shop", ""]
