"""The webhook on GitHub: made once, brought up to date, and a ping that arrives or says why not.

GitHub is the sandbox's git host with its API, over HTTP; the receiver checks signatures as an EventSource does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aphex_platform.settings import PlatformSecrets, WebhookSettings
from pydantic import SecretStr

from aphex.errors import UsageError
from automation.access import AwsAccess, KubernetesAccess
from automation.console import Terminal
from automation.github import address
from automation.github.api import GitHubError, HooksOf
from automation.github.commands import Webhook, create_hook, settings_page, webhook_of
from automation.github.explain import explain
from automation.github.hooks import PingFailed, WantedHook, differences, ensure_hook, verify_hook
from automation.target import Target
from tests.support.example import example_settings
from tests.support.github_host import EventSource, GitHubHost, event_source, github_host

NAME = "acme/shop"
SECRET = "the pipeline's own secret"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHubHost]:
    with github_host(tmp_path_factory.mktemp("github")) as started:
        yield started


@pytest.fixture
def receiver() -> Iterator[EventSource]:
    with event_source(SECRET) as started:
        yield started


@pytest.fixture
def hooks(host: GitHubHost, request: pytest.FixtureRequest) -> Iterator[HooksOf]:
    """Of a repository that no other test has."""
    name = f"acme/{request.node.name.translate(str.maketrans('[', '.', ']'))[-60:]}"
    host.repository(name)
    with HooksOf(host.base, name, host.token, proxies=False) as opened:
        yield opened


def wanted(receiver: EventSource, **changes: Any) -> WantedHook:
    values = {"url": receiver.url, "secret": SECRET, "events": ("push", "pull_request")}
    return WantedHook(**(values | changes))


def quick(_seconds: float) -> None:
    """Ask again at once."""


def failed(hooks: HooksOf, hook: WantedHook) -> PingFailed:
    number = ensure_hook(hooks, hook).number
    with pytest.raises(PingFailed) as caught:
        verify_hook(hooks, number, hook.url, "aphex-shop", patience=10, sleep=quick)
    return caught.value


@pytest.mark.parametrize(
    ("clone_url", "base"),
    [
        ("https://github.com/acme/shop.git", "https://api.github.com"),
        ("git@github.com:acme/shop.git", "https://api.github.com"),
        ("ssh://git@ssh.github.com:443/acme/shop.git", "https://api.github.com"),
        ("https://acme.ghe.com/acme/shop", "https://api.acme.ghe.com"),
        ("https://git.acme.example:8443/acme/shop.git", "https://git.acme.example:8443/api/v3"),
        ("git@git.acme.example:acme/shop.git", "https://git.acme.example/api/v3"),
        ("ssh://git@git.acme.example:2222/acme/shop.git", "https://git.acme.example/api/v3"),
    ],
)
def test_the_api_is_that_of_the_repository_s_host(clone_url: str, base: str) -> None:
    assert address.api_base(clone_url) == base


def test_the_page_for_webhooks_is_on_the_repository_s_host() -> None:
    assert settings_page("git@github.com:acme/shop.git", NAME) == "https://github.com/acme/shop/settings/hooks"
    assert settings_page("https://git.acme.example/acme/shop", NAME) == (
        "https://git.acme.example/acme/shop/settings/hooks"
    )


def test_a_folder_is_no_repository_of_a_github() -> None:
    with pytest.raises(UsageError, match="names no host"):
        address.api_base("/srv/git/shop.git")


def test_a_token_of_github_com_goes_to_an_enterprise_only_when_it_has_none_of_its_own() -> None:
    environment = {"GITHUB_TOKEN": "public", "GH_ENTERPRISE_TOKEN": "enterprise", "GH_TOKEN": ""}
    assert address.token("https://api.github.com", NAME, environment) == "public"
    assert address.token("https://git.acme.example/api/v3", NAME, environment) == "enterprise"
    assert address.token("https://git.acme.example/api/v3", NAME, {"GH_TOKEN": "one"}) == "one"


def test_a_token_is_never_sent_in_the_clear() -> None:
    with pytest.raises(UsageError) as caught:
        address.token("http://git.acme.example/api/v3", NAME, {"GH_TOKEN": "one"})
    assert caught.value.message == "http://git.acme.example/api/v3 is not encrypted, so the token is not sent there."


def test_without_a_token_it_is_told_which_one_is_needed() -> None:
    with pytest.raises(address.TokenMissing) as caught:
        address.token("https://api.github.com", NAME, {})
    assert str(caught.value) == (
        "There is no token for api.github.com in the environment.\n"
        "Set GITHUB_TOKEN or GH_TOKEN to a token that may administer the webhooks of acme/shop: a fine-grained one "
        "with the repository permission Webhooks (read and write), or a classic one with admin:repo_hook. "
        "Without a token: `python -m automation webhook` shows what to enter on the repository's page."
    )


def test_a_webhook_is_made_and_its_signed_ping_arrives(hooks: HooksOf, receiver: EventSource) -> None:
    made = ensure_hook(hooks, wanted(receiver))
    assert (made.created, made.differences) == (True, ())
    pinged = verify_hook(hooks, made.number, receiver.url, "aphex-shop", sleep=quick)
    assert pinged.delivery > 0
    event, body = receiver.received[-1]
    assert (event, json.loads(body)["hook_id"]) == ("ping", made.number)
    (shown,) = hooks.all()
    assert shown["config"] == {
        "url": receiver.url,
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
    }


def test_a_webhook_that_is_there_is_found_by_its_address_and_brought_up_to_date(
    hooks: HooksOf, receiver: EventSource
) -> None:
    config = {"url": receiver.url + "/", "content_type": "form"}
    there = hooks.create({"active": False, "events": ["issues"], "config": config})
    ensured = ensure_hook(hooks, wanted(receiver))
    assert (ensured.number, ensured.created) == (there["id"], False)
    assert ensured.differences == (
        "active: false -> true",
        "events: + push, pull_request",
        "content type: form -> json",
        "secret: none -> the pipeline's",
    )
    (hook,) = hooks.all()
    assert (hook["active"], hook["events"]) == (True, ["push", "pull_request", "issues"])
    assert ensure_hook(hooks, wanted(receiver)).differences == ()
    assert len(hooks.all()) == 1


def test_making_it_again_sets_the_secret_that_nobody_can_read(hooks: HooksOf, receiver: EventSource) -> None:
    error = failed(hooks, wanted(receiver, secret="an older one"))
    assert str(error) == (
        f"The ping to {receiver.url} did not arrive: Invalid HTTP Response: 400 (400 Bad Request).\n"
        "The EventSource refuses what is signed with another secret. Set the pipeline's own: "
        "python -m automation webhook create. If it stays so, the EventSource still has an older Secret: restart its "
        "pod."
    )
    number = ensure_hook(hooks, wanted(receiver)).number
    assert verify_hook(hooks, number, receiver.url, "aphex-shop", sleep=quick).seconds >= 0


def test_a_webhook_among_many_is_found(hooks: HooksOf, host: GitHubHost, receiver: EventSource) -> None:
    store = host.repository(hooks.repository).hooks
    for number in range(104):
        store.add(f"http://127.0.0.1:1/{number}")
    there = store.add(receiver.url)
    assert ensure_hook(hooks, wanted(receiver)).number == there.id


def test_every_event_does_for_each_event(receiver: EventSource) -> None:
    config = {"url": receiver.url, "content_type": "json", "insecure_ssl": "0", "secret": "********"}
    assert differences({"active": True, "events": ["*"], "config": config}, wanted(receiver)) == ()
    config["insecure_ssl"] = "1"
    assert differences({"active": True, "events": ["*"], "config": config}, wanted(receiver)) == (
        "certificates: not checked -> checked",
    )


def test_a_ping_to_another_path_says_that_nothing_is_served_there(hooks: HooksOf, receiver: EventSource) -> None:
    url = receiver.url.replace("/push", "/hooks")
    assert str(failed(hooks, wanted(receiver, url=url))) == (
        f"The ping to {url} did not arrive: Invalid HTTP Response: 404 (404 Not Found).\n"
        "Nothing is served at the path /hooks. Compare it with the address that `python -m automation webhook` shows, "
        "and with the paths of the ingress."
    )


def test_a_ping_to_an_ingress_with_nothing_behind_it_says_so(hooks: HooksOf, receiver: EventSource) -> None:
    receiver.status = 503
    assert failed(hooks, wanted(receiver)).hint == (
        "The ingress has nothing behind it: the EventSource's pod is not ready, or its service has another port. "
        "`kubectl -n aphex-shop get pods,services,ingresses` shows which."
    )


def test_a_ping_to_a_port_where_nobody_listens_says_so(hooks: HooksOf, receiver: EventSource) -> None:
    url = "http://127.0.0.1:1/push"
    error = failed(hooks, wanted(receiver, url=url))
    assert "did not arrive: failed to connect to host" in error.message
    assert error.hint.startswith("Nothing listens at 127.0.0.1 where GitHub comes from.")


def test_a_ping_to_a_name_that_is_none_says_so(hooks: HooksOf, receiver: EventSource) -> None:
    error = failed(hooks, wanted(receiver, url="http://hooks.aphex.invalid/push"))
    assert error.hint == (
        "hooks.aphex.invalid is no name that the internet knows. Make its DNS record, or wait until it has spread."
    )


def test_a_ping_that_speaks_tls_with_what_does_not_says_so(hooks: HooksOf, receiver: EventSource) -> None:
    error = failed(hooks, wanted(receiver, url=receiver.url.replace("http:", "https:")))
    assert error.hint.startswith("GitHub does not trust the certificate of 127.0.0.1")


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        ("Invalid HTTP Response: 403", 403, "wants a login"),
        ("Invalid HTTP Response: 405", 405, "takes no POST"),
        ("Invalid HTTP Response: 301", 301, "leads elsewhere"),
        ("Invalid HTTP Response: 500", 500, "kubectl -n aphex-shop logs -l eventsource-name"),
        ("timed out", 0, "within ten seconds"),
        ("", 0, "Nothing listens at hooks.example.org"),
    ],
)
def test_each_kind_of_failure_is_explained(status: str, code: int, hint: str) -> None:
    assert hint in explain(status, code, "", "https://hooks.example.org/push", "aphex-shop").hint


def test_a_ping_that_github_never_tells_of_is_not_taken_for_one_that_arrived(
    hooks: HooksOf, receiver: EventSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = ensure_hook(hooks, wanted(receiver)).number
    verify_hook(hooks, number, receiver.url, "aphex-shop", sleep=quick)
    # A push is no answer to a ping, and neither is the ping before.
    monkeypatch.setattr(hooks, "ping", lambda _hook: None)  # GitHub is late
    with pytest.raises(PingFailed) as caught:
        verify_hook(hooks, number, receiver.url, "aphex-shop", patience=0.0, sleep=quick)
    assert caught.value.message == (f"GitHub was asked to ping {receiver.url}, and tells of no delivery after 0 s.")


def test_a_wrong_token_is_told_without_showing_it(host: GitHubHost) -> None:
    with HooksOf(host.base, NAME, "secret-token", proxies=False) as opened, pytest.raises(GitHubError) as caught:
        opened.all()
    assert str(caught.value) == (
        "127.0.0.1 does not take the token: Bad credentials\nIt is expired, revoked, or of another GitHub host."
    )


def test_a_repository_that_the_token_does_not_reach_is_told(host: GitHubHost) -> None:
    with HooksOf(host.base, "acme/none", host.token, proxies=False) as opened, pytest.raises(GitHubError) as caught:
        opened.all()
    assert str(caught.value) == (
        "The token may not administer the webhooks of acme/none on 127.0.0.1, or there is none such: Not Found\n"
        "It needs, as an administrator of the repository: fine-grained, the permission Webhooks (read and write); "
        "classic, the scope admin:repo_hook. A token for an organization with SSO has to be authorized for it."
    )


def test_a_github_that_is_not_there_is_told() -> None:
    with HooksOf("http://127.0.0.1:1", NAME, "t", proxies=False) as opened, pytest.raises(GitHubError) as caught:
        opened.all()
    assert caught.value.message.startswith("GitHub could not be asked at 127.0.0.1:")


def test_what_github_finds_wrong_with_a_webhook_is_told(hooks: HooksOf, receiver: EventSource) -> None:
    with pytest.raises(GitHubError) as caught:
        ensure_hook(hooks, wanted(receiver, url="ftp://hooks.example.org"))
    assert caught.value.message == ("127.0.0.1 does not take the webhook: Validation Failed: url must be http or https")


def target(**webhook: Any) -> Target:
    settings = example_settings(repository="https://github.com/acme/shop.git", webhook=WebhookSettings(**webhook))
    return Target(
        settings=settings,
        secrets=PlatformSecrets(webhook_secret=SecretStr(SECRET)),
        aws=AwsAccess(region="us-east-1"),
        kubernetes=KubernetesAccess(),
        words="--cluster eks:main --aws account",
    )


def test_an_address_of_the_cluster_s_own_is_none_for_github() -> None:
    with pytest.raises(UsageError) as caught:
        webhook_of(target(), Terminal(), None)
    assert str(caught.value) == (
        "The pipeline's webhook has no address outside the cluster: "
        f"{target().settings.service_url}.\n"
        "Give it an Ingress: `webhooks` in aphex-cluster.yaml. When something of your own leads there, name its "
        "address: python -m automation webhook create --url https://HOST/PATH --pipeline shop --cluster eks:main "
        "--aws account"
    )


def test_a_pipeline_with_an_ingress_has_its_address_and_its_host_s_github() -> None:
    found = webhook_of(target(host="hooks.example.org"), Terminal(), None)
    assert found.wanted.url == f"https://hooks.example.org{target().settings.webhook_path}"
    assert found.wanted.events == ("push", "pull_request")
    assert (found.base, found.page) == ("https://api.github.com", "https://github.com/aphex/shop/settings/hooks")
    assert found.secret_place == (
        "the parameter /aphex/shop/secrets of AWS's Parameter Store, as webhook_secret, and the Secret webhook in "
        "aphex-shop"
    )


def test_the_secret_is_in_nothing_that_is_shown(
    host: GitHubHost, hooks: HooksOf, receiver: EventSource, capsys: pytest.CaptureFixture[str]
) -> None:
    webhook = Webhook(
        wanted=wanted(receiver),
        repository=hooks.repository,
        base=host.base,
        page="",
        namespace="aphex-shop",
        secret_place="a file",
        token=host.token,
    )
    ensured, pinged = create_hook(webhook, Terminal(), ping=True)
    assert (ensured.created, pinged is not None) == (True, True)
    printed = capsys.readouterr()
    assert f"of {hooks.repository} is made: {receiver.url}" in printed.out
    assert "A ping arrived" in printed.out
    shown = printed.out + printed.err + repr(webhook)
    assert SECRET not in shown
    assert host.token not in shown


def test_the_api_takes_nothing_without_its_token(host: GitHubHost) -> None:
    url = f"{host.base}/repos/{NAME}/hooks"
    host.repository(NAME)
    for headers in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer other"}):
        assert httpx.post(url, json={}, headers=headers, trust_env=False).status_code == 401


def test_secrets_of_webhooks_are_the_owner_s_alone(hooks: HooksOf, host: GitHubHost, receiver: EventSource) -> None:
    ensure_hook(hooks, wanted(receiver))
    folder: Path = host.repository(hooks.repository).path
    holding = [path for path in folder.rglob("*") if path.is_file() and SECRET in path.read_text(errors="replace")]
    assert [(path.name, path.stat().st_mode & 0o777) for path in holding] == [("webhooks.json", 0o600)]


def test_a_push_goes_to_each_webhook_that_takes_it(host: GitHubHost, hooks: HooksOf, receiver: EventSource) -> None:
    from sandbox.git_host.delivery import deliver, deliveries

    repository = host.repository(hooks.repository)
    with event_source(host.stand_ins.secrets().webhook_secret) as own:
        repository.set_webhook(own.url)
        ensure_hook(hooks, wanted(receiver))
        repository.hooks.add("http://127.0.0.1:1/never", events=("issues",))
        assert deliver(repository, "push", {"ref": "refs/heads/main"}, patience=1).ok
        assert [event for event, _ in own.received] == ["push"]
        assert "push" in [event for event, _ in receiver.received]
    sent = [each for each in deliveries(repository) if each.event == "push"]
    assert [each.url for each in sent] == [own.url, receiver.url]
    assert len({each.id for each in sent}) == 1
