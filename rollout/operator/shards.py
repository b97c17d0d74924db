"""Which shard a key belongs to. Pure: every operator, of every version, has to say the same."""

import hashlib


def shard_of(namespace: str, name: str, shards: int) -> int:
    """The shard (from 0) of a Rollout or GitSource, evenly spread; the same in every process."""
    digest = hashlib.blake2b(f"{namespace}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) % shards


def lease_name(family: str, shard: int, shards: int) -> str:
    """The Lease of a shard: `rollout` where there is one shard, else `rollout-0`, `rollout-1`, ..."""
    return family if shards == 1 else f"{family}-{shard}"
