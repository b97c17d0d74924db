"""Names under which a revision is marked on what belongs to it."""

HASH_LABEL = "rollouts-pod-template-hash"
"""On ReplicaSets, their selectors and their pods, and in our Services' selectors; Argo Rollouts' name for
it.
"""

REVISION = "progressive.delivery/revision"
"""Annotation of a ReplicaSet: the number of the revision, counted from 1."""
IDENTITY = "progressive.delivery/template"
"""Annotation of a ReplicaSet: the identity of the template as it was written, before any default."""
ATTEMPT = "progressive.delivery/attempt"
"""Annotation of a ReplicaSet: the attempt key under which it was last wanted."""
DESIRED_REPLICAS = "progressive.delivery/desired-replicas"
"""Annotation of a ReplicaSet: how many replicas the Rollout asked for when it was last scaled."""
SCALE_DOWN_AT = "progressive.delivery/scale-down-at"
"""Annotation of a ReplicaSet: when its pods may go, RFC 3339 in UTC."""
