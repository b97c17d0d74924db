"""Who a request is from: a bearer token's user, or whom that user may impersonate."""

from typing import TYPE_CHECKING

from multidict import CIMultiDictProxy

from rollout.sandbox.apiserver.errors import ApiError
from rollout.sandbox.apiserver.rbac import Ask, refusal
from rollout.sandbox.apiserver.served import Caller
from rollout.sandbox.apiserver.tokens import service_account

if TYPE_CHECKING:
    from rollout.sandbox.apiserver.core import Api

ACCOUNT = "system:serviceaccount:"


def of_token(api: "Api", headers: CIMultiDictProxy[str]) -> Caller | None:
    """Whose token the request bears."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return api.tokens.caller(token.strip()) if scheme.lower() == "bearer" else None


def effective(api: "Api", caller: Caller, headers: CIMultiDictProxy[str]) -> Caller:
    """The caller, or the user that the `Impersonate-` headers name; 403 where the caller may not be that."""
    user = headers.get("Impersonate-User")
    groups = headers.getall("Impersonate-Group", [])
    if not user:
        if groups:
            text = "requested groups without impersonating a user"
            raise ApiError(500, "InternalError", f"Internal error occurred: {text}")
        return caller
    asks = [_ask(user), *(Ask("impersonate", resource="groups", name=group) for group in groups)]
    for ask in asks:
        if not api.access.allows(caller, ask):
            raise refusal(caller, ask)
    if user.startswith(ACCOUNT) and not groups:
        namespace, _, name = user.removeprefix(ACCOUNT).partition(":")
        return service_account(namespace, name)
    return Caller(user, (*groups, "system:authenticated"), headers.get("Impersonate-Uid", ""))


def _ask(user: str) -> Ask:
    if user.startswith(ACCOUNT):
        namespace, _, name = user.removeprefix(ACCOUNT).partition(":")
        return Ask("impersonate", resource="serviceaccounts", namespace=namespace, name=name)
    return Ask("impersonate", resource="users", name=user)
