"""Which resource serves a kind: what `apiVersion` and `kind` of a manifest mean to this API server."""

from collections.abc import Iterable, Mapping
from typing import Any

from rollout.kube.client import Kube
from rollout.kube.errors import NotFound, NotServed
from rollout.kube.kinds import Resource


class Discovery:
    """A cache of what is served, by API version; a kind that it does not know is asked for again."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._served: dict[str, Mapping[str, Resource]] = {}

    async def resource(self, api_version: str, kind: str) -> Resource:
        """The resource that serves `kind` in `api_version`.

        Raises:
            NotServed: this API server does not serve it (yet).
        """
        if kind not in self._served.get(api_version, {}):
            self._served[api_version] = await self._ask(api_version)
        found = self._served[api_version].get(kind)
        if found is None:
            raise NotServed(
                f"the API server does not serve {kind} in {api_version} (install its CRD, or its version)"
            )
        return found

    def forget(self, api_version: str) -> None:
        """Ask again next time: a CRD of that API version has changed."""
        self._served.pop(api_version, None)

    async def _ask(self, api_version: str) -> Mapping[str, Resource]:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            answer = await self._kube.raw(path)
        except (NotFound, NotServed):
            return {}
        return _resources(api_version, answer.get("resources") or ())


def _resources(api_version: str, served: Iterable[Mapping[str, Any]]) -> Mapping[str, Resource]:
    group, _, version = api_version.rpartition("/")
    return {
        each["kind"]: Resource(group, version, each["name"], each["kind"], bool(each["namespaced"]))
        for each in served
        if "/" not in each["name"]  # a subresource may bear the kind of another resource
    }
