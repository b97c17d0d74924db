"""Role-based access: roles, bindings and aggregation, read from the store."""

from dataclasses import dataclass
from functools import lru_cache

from rollout.sandbox.apiserver.errors import ApiError, Named
from rollout.sandbox.apiserver.resource import Object
from rollout.sandbox.apiserver.selectors import matches_selector
from rollout.sandbox.apiserver.served import Caller
from rollout.sandbox.apiserver.store import Store

GROUP = "rbac.authorization.k8s.io"
KINDS = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")


@dataclass(frozen=True, slots=True)
class Ask:
    """What someone wants to do: a verb on a resource (group, plural, subresource, name), or on a path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str | None = None
    name: str = ""
    path: str = ""

    @property
    def target(self) -> str:
        """The resource as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Access:
    """Who may do what. Resolved rules are kept until a role or binding changes."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._at: tuple[int, ...] = ()
        self._rules = lru_cache(maxsize=4096)(self._find_rules)

    def allows(self, caller: Caller, ask: Ask) -> bool:
        """Whether a role grants it."""
        if caller.all_powerful:
            return True
        state = self._state()
        if state != self._at:
            self._at = state
            self._rules.cache_clear()
        namespace = None if ask.path else ask.namespace
        return any(grants(rule, ask) for rule in self._rules(caller.name, caller.groups, namespace))

    def _state(self) -> tuple[int, ...]:
        found = []
        for kind in KINDS:
            history = self.store.history.get((GROUP, kind))
            found.append(history[-1].version if history else 0)
        return tuple(found)

    def rules(self, caller: Caller, namespace: str | None) -> list[Object]:
        """The rules that hold for someone, in a namespace or for the whole cluster."""
        return self._find_rules(caller.name, caller.groups, namespace)

    def _find_rules(self, user: str, groups: tuple[str, ...], namespace: str | None) -> list[Object]:
        found: list[Object] = []
        for stored in self.store.list((GROUP, "clusterrolebindings"), None):
            if _binds(stored.obj, user, groups):
                found += self._role_rules(stored.obj["roleRef"], None)
        if namespace:
            for stored in self.store.list((GROUP, "rolebindings"), namespace):
                if _binds(stored.obj, user, groups):
                    found += self._role_rules(stored.obj["roleRef"], namespace)
        return found

    def _role_rules(self, ref: Object, namespace: str | None) -> list[Object]:
        if ref["kind"] == "ClusterRole":
            held = self.store.get((GROUP, "clusterroles"), ("", ref["name"]))
        else:
            held = self.store.get((GROUP, "roles"), (namespace or "", ref["name"]))
        return self.aggregated(held.obj) if held is not None else []

    def aggregated(self, role: Object) -> list[Object]:
        """A role's own rules and those of the roles it aggregates."""
        found = list(role.get("rules") or ())
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ():
            for stored in self.store.list((GROUP, "clusterroles"), None):
                labels = stored.obj["metadata"].get("labels") or {}
                if stored.obj is not role and matches_selector(selector, labels):
                    found += stored.obj.get("rules") or ()
        return found


def _binds(binding: Object, user: str, groups: tuple[str, ...]) -> bool:
    for subject in binding.get("subjects") or ():
        match subject["kind"]:
            case "User":
                if subject["name"] == user:
                    return True
            case "Group":
                if subject["name"] in groups:
                    return True
            case "ServiceAccount":
                namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
                if user == f"system:serviceaccount:{namespace}:{subject['name']}":
                    return True
    return False


def grants(rule: Object, ask: Ask) -> bool:
    """Whether one rule covers it."""
    if not _covers(rule.get("verbs"), ask.verb):
        return False
    if ask.path:
        return any(_covers_path(pattern, ask.path) for pattern in rule.get("nonResourceURLs") or ())
    if not _covers(rule.get("apiGroups"), ask.group):
        return False
    resources = rule.get("resources") or ()
    held = {"*", ask.target} | ({f"*/{ask.subresource}"} if ask.subresource else set())
    if not held & set(resources):
        return False
    names = rule.get("resourceNames") or ()
    return not names or ask.name in names


def _covers(held: list[str] | None, wanted: str) -> bool:
    return held is not None and ("*" in held or wanted in held)


def _covers_path(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return pattern == path


def refusal(caller: Caller, ask: Ask) -> ApiError:
    """403."""
    if ask.path:
        text = f'forbidden: User "{caller.name}" cannot {ask.verb} path "{ask.path}"'
        return ApiError(403, "Forbidden", text, {})
    named = Named(ask.group, ask.resource, ask.name)
    quoted = f'{named.qualified} "{ask.name}"' if ask.name else named.qualified
    where = f'in the namespace "{ask.namespace}"' if ask.namespace else "at the cluster scope"
    why = f'User "{caller.name}" cannot {ask.verb} resource "{ask.target}" in API group "{ask.group}" {where}'
    return ApiError(403, "Forbidden", f"{quoted} is forbidden: {why}", named.details())


def first_objects() -> list[tuple[str, Object]]:
    """The roles and bindings that every cluster begins with: plural and object."""

    def role(name: str, rules: list[Object]) -> tuple[str, Object]:
        meta = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        return "clusterroles", {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRole",
            "metadata": meta,
            "rules": rules,
        }

    def binding(name: str, group: str) -> tuple[str, Object]:
        meta = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
        return "clusterrolebindings", {
            "apiVersion": f"{GROUP}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
        }

    paths = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
    ]
    reviews = [
        {
            "apiGroups": ["authorization.k8s.io"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]},
    ]
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    return [
        role("cluster-admin", everything),
        role("system:discovery", [{"nonResourceURLs": [*paths, "/version/"], "verbs": ["get"]}]),
        role("system:basic-user", [{**rule, "verbs": ["create"]} for rule in reviews]),
        binding("cluster-admin", "system:masters"),
        binding("system:discovery", "system:authenticated"),
        binding("system:basic-user", "system:authenticated"),
    ]
