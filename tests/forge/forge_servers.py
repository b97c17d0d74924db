"""Hosts of repositories on loopback, that keep to the published requests and refuse all others.

GitHub: docs.github.com/rest, "commits/statuses" and "pulls". GitLab: docs.gitlab.com/api, "commits" and
"merge_requests".
Gitea: its swagger, /repos/{owner}/{repo}/statuses and /pulls. Bitbucket: its REST group "commit statuses" and
"pullrequests".
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "tok-3n-of-the-bot"
COMMIT = "a" * 40


@dataclass
class Host:
    """What all of them have: who may come in, what was asked, and bad weather."""

    repository: str = "shop/env"
    commits: set[str] = field(default_factory=lambda: {COMMIT})
    anything: bool = False
    """Whether every commit is known."""
    branches: set[str] = field(default_factory=lambda: {"main", "fix"})
    statuses: list[dict[str, Any]] = field(default_factory=list)
    proposals: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    weather: list[Callable[[], web.Response]] = field(default_factory=list)
    """Answers to the next requests, before any is heeded."""
    address: str = ""

    async def __aenter__(self) -> "Host":
        application = web.Application(middlewares=[self._gate])
        self.routes(application.router)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url.raw_path}")
        if self.weather:
            return self.weather.pop(0)()
        if not self.admits(request):
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        return await handler(request)

    def routes(self, router: web.UrlDispatcher) -> None:
        raise NotImplementedError

    def admits(self, request: web.Request) -> bool:
        raise NotImplementedError

    def _check(self, repository: str, commit: str = "") -> None:
        if repository != self.repository or (commit and commit not in self.commits and not self.anything):
            raise web.HTTPNotFound(text='{"message": "Not Found"}', content_type="application/json")

    def _add(self, **entry: Any) -> dict[str, Any]:
        entry["id"] = len(self.statuses) + 1
        self.statuses.append(entry)
        return entry

    def last(self) -> tuple[str, str, str]:
        """(state, check, description) of the newest status."""
        entry = self.statuses[-1]
        state = entry.get("state") or entry.get("status")
        return (str(state), str(entry.get("context") or entry["name"]), str(entry["description"]))


def refuse(code: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=code)


def string(body: Any, *keys: str) -> bool:
    return all(isinstance(body.get(key), str) and body[key] for key in keys)


class Hub(Host):
    """GitHub."""

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {TOKEN}"

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/repos/{owner}/{repo}/statuses/{sha}", self.create)
        router.add_get("/repos/{owner}/{repo}/commits/{sha}/statuses", self.list)
        router.add_get("/repos/{owner}/{repo}/pulls", self.pulls)
        router.add_post("/repos/{owner}/{repo}/pulls", self.pull)

    def named(self, request: web.Request) -> str:
        repository = "{owner}/{repo}".format_map(request.match_info)
        self._check(repository, request.match_info.get("sha", ""))
        return repository

    async def create(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        sha = request.match_info["sha"]
        if body.get("state") not in {"error", "failure", "pending", "success"}:
            return refuse(422, "Validation Failed: state is not included in the list")
        if len(body.get("description") or "") > 140:
            return refuse(422, "Validation Failed: description is too long (maximum is 140 characters)")
        context = body.get("context", "default")
        if sum((each["sha"], each["context"]) == (sha, context) for each in self.statuses) >= 1000:
            return refuse(422, "Validation Failed: This SHA and context has reached the maximum number")
        said = {key: body.get(key) for key in ("state", "description", "target_url")}
        return web.json_response(self._add(sha=sha, context=context, **said), status=201)

    async def list(self, request: web.Request) -> web.Response:
        self.named(request)
        of = [each for each in self.statuses if each["sha"] == request.match_info["sha"]]
        return web.json_response(of[::-1][: int(request.query.get("per_page", "30"))])

    async def pulls(self, request: web.Request) -> web.Response:
        self.named(request)
        owner, _, branch = request.query["head"].partition(":")
        found = [
            each
            for each in self.proposals
            if (owner, each["head"], each["base"])
            == (self.repository.split("/")[0], branch, request.query["base"])
        ]
        return web.json_response(found)

    async def pull(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        if not string(body, "title", "head", "base") or not {body["head"], body["base"]} <= self.branches:
            return refuse(422, "Validation Failed")
        if any((each["head"], each["base"]) == (body["head"], body["base"]) for each in self.proposals):
            return refuse(422, f"A pull request already exists for {body['head']}.")
        page = f"https://github.example/{self.repository}/pull/{len(self.proposals) + 1}"
        self.proposals.append({**body, "html_url": page})
        return web.json_response(self.proposals[-1], status=201)


class Tea(Hub):
    """Gitea."""

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"token {TOKEN}"

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/repos/{owner}/{repo}/statuses/{sha}", self.create)
        router.add_get("/repos/{owner}/{repo}/statuses/{sha}", self.list)
        router.add_get("/repos/{owner}/{repo}/pulls", self.pulls)
        router.add_post("/repos/{owner}/{repo}/pulls", self.pull)

    async def create(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        if body.get("state") not in {"pending", "success", "error", "failure", "warning"}:
            return refuse(422, "invalid state")
        entry = self._add(
            sha=request.match_info["sha"],
            status=body["state"],
            context=body["context"],
            description=body["description"],
        )
        return web.json_response(entry, status=201)

    async def pulls(self, request: web.Request) -> web.Response:
        self.named(request)
        found = [
            {"html_url": each["html_url"], "head": {"ref": each["head"]}, "base": {"ref": each["base"]}}
            for each in self.proposals
        ]
        return web.json_response(found)

    async def pull(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        if any((each["head"], each["base"]) == (body["head"], body["base"]) for each in self.proposals):
            return refuse(409, "pull request already exists for these targets")
        page = f"https://gitea.example/{self.repository}/pulls/{len(self.proposals) + 1}"
        self.proposals.append({**body, "html_url": page})
        return web.json_response(self.proposals[-1], status=201)


class Lab(Host):
    """GitLab; one that refuses to go from a state to the same."""

    def admits(self, request: web.Request) -> bool:
        return request.headers.get("PRIVATE-TOKEN") == TOKEN

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/projects/{project}/statuses/{sha}", self.create)
        router.add_get("/projects/{project}/repository/commits/{sha}/statuses", self.list)
        router.add_get("/projects/{project}/merge_requests", self.requests)
        router.add_post("/projects/{project}/merge_requests", self.request)

    def named(self, request: web.Request) -> None:
        self._check(request.match_info["project"], request.match_info.get("sha", ""))

    async def create(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        sha, name, state = request.match_info["sha"], body.get("name", "default"), body.get("state")
        if state not in {"pending", "running", "success", "failed", "canceled", "skipped"}:
            return refuse(400, "state does not have a valid value")
        active = [
            each
            for each in self.statuses
            if (each["sha"], each["name"]) == (sha, name) and each["status"] in {"pending", "running"}
        ]
        if active and active[-1]["status"] == state:
            return refuse(400, f"Cannot transition status via :run from :{state}")
        if active:
            active[-1].update(status=state, description=body.get("description"))
            return web.json_response(active[-1], status=201)
        entry = self._add(sha=sha, name=name, status=state, description=body.get("description"))
        return web.json_response(entry, status=201)

    async def list(self, request: web.Request) -> web.Response:
        self.named(request)
        wanted = (request.match_info["sha"], request.query.get("name"))
        return web.json_response([each for each in self.statuses if (each["sha"], each["name"]) == wanted])

    async def requests(self, request: web.Request) -> web.Response:
        self.named(request)
        assert request.query["state"] == "opened"
        wanted = (request.query["source_branch"], request.query["target_branch"])
        return web.json_response(
            [each for each in self.proposals if (each["source_branch"], each["target_branch"]) == wanted]
        )

    async def request(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        if not string(body, "title", "source_branch", "target_branch"):
            return refuse(400, "title is missing")
        if any(each["source_branch"] == body["source_branch"] for each in self.proposals):
            return refuse(409, "Another open merge request already exists for this source branch: !1")
        page = f"https://gitlab.example/{self.repository}/-/merge_requests/{len(self.proposals) + 1}"
        self.proposals.append({**body, "web_url": page})
        return web.json_response(self.proposals[-1], status=201)


class Bucket(Host):
    """Bitbucket Cloud: one status a key, of at most 40 letters."""

    def admits(self, request: web.Request) -> bool:
        basic = "Basic " + base64.b64encode(f"bot:{TOKEN}".encode()).decode()
        return request.headers.get("Authorization") in {f"Bearer {TOKEN}", basic}

    def routes(self, router: web.UrlDispatcher) -> None:
        builds = "/repositories/{owner}/{repo}/commit/{sha}/statuses/build"
        router.add_post(builds, self.create)
        router.add_get(builds + "/{key}", self.one)
        router.add_get("/repositories/{owner}/{repo}/pullrequests", self.requests)
        router.add_post("/repositories/{owner}/{repo}/pullrequests", self.request)

    def named(self, request: web.Request) -> None:
        self._check("{owner}/{repo}".format_map(request.match_info), request.match_info.get("sha", ""))

    async def create(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        if not string(body, "key", "state", "url") or len(body["key"]) > 40:
            return refuse(400, "key, state and url are required")
        if body["state"] not in {"SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"}:
            return refuse(400, "state is not a valid choice")
        same = (request.match_info["sha"], body["key"])
        self.statuses = [each for each in self.statuses if (each["sha"], each["key"]) != same]
        return web.json_response(self._add(sha=request.match_info["sha"], **body), status=201)

    async def one(self, request: web.Request) -> web.Response:
        self.named(request)
        wanted = (request.match_info["sha"], request.match_info["key"])
        for each in self.statuses:
            if (each["sha"], each["key"]) == wanted:
                return web.json_response(each)
        return refuse(404, "There is no such build status")

    async def requests(self, request: web.Request) -> web.Response:
        self.named(request)
        found = [
            each for each in self.proposals if f'"{each["source"]["branch"]["name"]}"' in request.query["q"]
        ]
        return web.json_response({"values": found})

    async def request(self, request: web.Request) -> web.Response:
        self.named(request)
        body = await request.json()
        page = f"https://bitbucket.example/{self.repository}/pull-requests/{len(self.proposals) + 1}"
        self.proposals.append({**body, "links": {"html": {"href": page}}})
        return web.json_response(self.proposals[-1], status=201)


HOSTS: dict[str, type[Host]] = {"bitbucket": Bucket, "gitea": Tea, "github": Hub, "gitlab": Lab}
