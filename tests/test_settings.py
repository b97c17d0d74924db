"""Environment and flags to one value."""

from datetime import timedelta

import pytest

from rollout.api.errors import Stalled
from rollout.settings import Settings, read


def test_nothing_given_leaves_every_default() -> None:
    assert read({}) == Settings()
    assert read({}).watched is None


def test_the_environment_sets_what_it_names_and_a_flag_wins_over_it() -> None:
    environment = {
        "ROLLOUT_NAMESPACE": "shop",
        "ROLLOUT_METRICS_PORT": "0",
        "ROLLOUT_MIN_SETTLE": "1m30s",
        "ROLLOUT_GIT_SCHEMES": "https, file",
    }
    settings = read(environment, metrics_port=9090, context=None)
    assert settings.watched == "shop"
    assert settings.metrics_port == 9090
    assert settings.min_settle == timedelta(seconds=90)
    assert settings.git_schemes == ("https", "file")
    assert settings.context == ""


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        pytest.param("ROLLOUT_METRICS_PORT", "-1", "whole number", id="a port below zero"),
        pytest.param("ROLLOUT_RESYNC", "soon", "such as 30s", id="a duration without a number"),
        pytest.param("ROLLOUT_LOG_FORMAT", "xml", "auto, json, plain", id="a format that is none of ours"),
        pytest.param("ROLLOUT_API_GROUP", "apps", "progressive.delivery, argoproj.io", id="a foreign group"),
        pytest.param("ROLLOUT_SHARDS", "0", "from 1 to 64", id="no shard at all"),
        pytest.param(
            "ROLLOUT_LEASE_DURATION", "10s", "longer than the deadline", id="a lease that ends too soon"
        ),
        pytest.param("ROLLOUT_RETRY_PERIOD", "6s", "twice the retry period", id="a single try to renew"),
    ],
)
def test_a_value_that_can_not_be_is_refused_by_name_with_what_it_can_be(
    variable: str, text: str, says: str
) -> None:
    with pytest.raises(Stalled) as caught:
        read({variable: text})
    assert variable in str(caught.value)
    assert text in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        pytest.param("http://prometheus:9090", True, id="the same"),
        pytest.param("http://prometheus:9090/", True, id="the same with a slash"),
        pytest.param("http://mimir/prom/tenant", True, id="below an allowed path"),
        pytest.param("http://mimir/promiscuous", False, id="a longer word is not below"),
        pytest.param("http://mimir/prom/../admin", False, id="climbing out"),
        pytest.param("http://mimir/prom/%2e%2e/admin", False, id="climbing out in disguise"),
        pytest.param("http://prometheus:9090.evil.example", False, id="a host that only begins alike"),
        pytest.param("http://user@prometheus:9090", False, id="with credentials"),
        pytest.param("https://prometheus:9090", False, id="another scheme"),
    ],
)
def test_a_template_may_name_only_an_allowed_prometheus(url: str, allowed: bool) -> None:
    settings = Settings(prometheus_allowed=("http://prometheus:9090", "http://mimir/prom/"))
    assert settings.allows_prometheus(url) is allowed


def test_no_list_allows_every_prometheus() -> None:
    assert Settings().allows_prometheus("http://anywhere")
