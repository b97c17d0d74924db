"""Objects of a repository, and what differs between two trees of it, by one `cat-file --batch`."""

from collections.abc import Iterator
from dataclasses import dataclass

from rollout.git.conversation import Conversation, Hangup

_TREE, _FILES = b"40000", frozenset({b"100644", b"100755"})


class Unusual(Exception):  # noqa: N818 -- named by what happened
    """Something to be looked at more closely by other means: a link, a file too large, very many changes."""


@dataclass(frozen=True, slots=True)
class Change:
    """A file that is not as it was; `oid` is empty where it is gone."""

    path: str
    oid: str


class Objects:
    """Reads what it is asked for; `most` is the largest object that is taken, in bytes."""

    def __init__(self, conversation: Conversation, most: int) -> None:
        self._conversation = conversation
        self._most = most

    def read(self, name: str, kind: str) -> tuple[str, bytes]:
        """Id and content of an object by its name. Raises `Unusual` where it is not so, or too large."""
        self._conversation.ask(name.encode())
        said = self._conversation.line().split(b" ")
        if len(said) != 3 or said[1] != kind.encode() or int(said[2]) > self._most:
            raise Unusual(name)
        content = self._conversation.exactly(int(said[2]) + 1)
        return said[0].decode(), content[:-1]

    def changes(self, before: str, after: str, most: int) -> tuple[Change, ...]:
        """What differs between two trees, by their ids. Raises `Unusual` beyond so many."""
        found: list[Change] = []
        for change in self._differing(before, after, ""):
            found.append(change)
            if len(found) > most:
                raise Unusual(after)
        return tuple(found)

    def _differing(self, before: str, after: str, prefix: str) -> Iterator[Change]:
        old, new = self._entries(before), self._entries(after)
        for name in old.keys() | new.keys():
            was, now = old.get(name), new.get(name)
            if was == now:
                continue
            try:
                path = prefix + name.decode()
            except UnicodeDecodeError:
                raise Unusual(prefix) from None
            trees = [each is not None and each[0] == _TREE for each in (was, now)]
            if any(trees):
                yield from self._differing(
                    was[1] if was and trees[0] else "", now[1] if now and trees[1] else "", f"{path}/"
                )
            if now is not None and not trees[1]:
                if now[0] not in _FILES:
                    raise Unusual(path)
                yield Change(path, now[1])
            elif was is not None and not trees[0]:
                yield Change(path, "")

    def _entries(self, tree: str) -> dict[bytes, tuple[bytes, str]]:
        """(mode, id) by name."""
        if not tree:
            return {}
        oid, content = self.read(tree, "tree")
        size, found, at = len(oid) // 2, {}, 0
        while at < len(content):
            space, end = content.index(b" ", at), content.index(b"\0", at)
            mode, name = content[at:space], content[space + 1 : end]
            at = end + 1 + size
            if at > len(content):
                raise Hangup("a tree that ends too early")
            found[name] = (mode, content[end + 1 : at].hex())
        return found
