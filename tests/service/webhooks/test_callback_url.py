"""Which addresses clients may have called."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.core.settings import BadSetting
from service.settings import Settings, load_settings
from service.webhooks.addresses import may_call
from service.webhooks.callback_url import CallbackRefused, parse_callback

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        webhook_secret=SECRET,
        webhook_hosts="hooks.example.org, *.Example.net,ports.example.com:8443,[2600::1]",
        webhook_private_hosts="localhost:9000,intranet",
    )


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "header"),
    [
        ("https://hooks.example.org/rain?a=1", "hooks.example.org", 443, "/rain?a=1", "hooks.example.org"),
        ("https://HOOKS.example.org", "hooks.example.org", 443, "/", "hooks.example.org"),
        ("https://hooks.example.org:443//x", "hooks.example.org", 443, "//x", "hooks.example.org"),
        ("https://a.example.net/", "a.example.net", 443, "/", "a.example.net"),
        ("https://ports.example.com:8443/", "ports.example.com", 8443, "/", "ports.example.com:8443"),
        ("https://[2600::1]/", "2600::1", 443, "/", "[2600::1]"),
        ("http://localhost:9000/x", "localhost", 9000, "/x", "localhost:9000"),
        ("http://intranet/", "intranet", 80, "/", "intranet"),
        ("https://intranet/", "intranet", 443, "/", "intranet"),
    ],
)
def test_a_listed_address_is_permitted(settings, url, host, port, target, header) -> None:
    callback = parse_callback(url, settings)
    assert (callback.host, callback.port, callback.target, callback.host_header) == (host, port, target, header)
    assert callback.private == (host in ("localhost", "intranet"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://evil.example.org/", "not on the list"),
        ("https://hooks.example.org.evil.com/", "not on the list"),
        ("https://hooks.example.org./", "not on the list"),
        ("https://example.net/", "not on the list"),
        ("https://a.b.example.net/", "not on the list"),
        ("https://.example.net/", "not on the list"),
        ("https://hooks.example.org:8443/", "port 8443 is not on the list"),
        ("https://ports.example.com/", "port 443 is not on the list"),
        ("https://localhost/", "not on the list"),
        ("https://127.0.0.1/", "not on the list"),
        ("http://hooks.example.org/", "not https"),
        ("http://hooks.example.org:443/", "not https"),
        ("ftp://intranet/", "not https"),
        ("hooks.example.org", "not https"),
        ("https://user@hooks.example.org/", "user name"),
        ("https://user:word@hooks.example.org/", "user name"),
        ("https://evil.com@hooks.example.org/", "user name"),
        ("https://hooks.example.org/#a", "fragment"),
        ("https://hooks.example.org/#", "fragment"),
        ("https://hooks.example.org\\@evil.com/", "ASCII"),
        ("https://hooks.example.org/\r\nX: 1", "ASCII"),
        ("https://hooks.example.org/a b", "ASCII"),
        ("https://hööks.example.org/", "ASCII"),
        ("https://hooks.example.org/" + "x" * 1000, "1000"),
        ("https://hooks.example.org:99999/", "not a URL"),
        ("https://[::1/", "not a URL"),
    ],
)
def test_any_other_address_is_refused_with_the_reason(settings, url, why) -> None:
    with pytest.raises(CallbackRefused, match=why):
        parse_callback(url, settings)


@pytest.mark.parametrize(
    ("address", "public_host", "private_host"),
    [
        ("93.184.215.14", True, True),
        ("2600::1", True, True),
        ("64:ff9b::5db8:d70e", True, True),
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("172.16.0.1", False, True),
        ("192.168.1.1", False, True),
        ("::1", False, True),
        ("fd00::1", False, True),
        ("::ffff:127.0.0.1", False, True),
        ("64:ff9b::7f00:1", False, True),
        ("2002:7f00:1::", False, True),
        *((address, False, False) for address in ("169.254.169.254", "169.254.1.1", "fe80::1", "fec0::1")),
        *((address, False, False) for address in ("fd00:ec2::254", "100.100.100.200", "100.64.0.1", "168.63.129.16")),
        *((address, False, False) for address in ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255")),
        *((address, False, False) for address in ("192.0.0.192", "240.0.0.1", "192.0.2.1", "2001:db8::1")),
        *((address, False, False) for address in ("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe")),
    ],
)
def test_which_ip_addresses_are_called(address, public_host, private_host) -> None:
    assert may_call(address, private=False) is public_host
    assert may_call(address, private=True) is private_host


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"WEBHOOK_HOSTS": "hooks.example.org"}, "ECHOCAST_WEBHOOK_SECRET"),
        ({"WEBHOOK_PRIVATE_HOSTS": "localhost", "WEBHOOK_SECRET": "too-short"}, "at least 32"),
        ({"WEBHOOK_HOSTS": "https://hooks.example.org", "WEBHOOK_SECRET": SECRET}, "is not a host"),
        ({"WEBHOOK_HOSTS": "*", "WEBHOOK_SECRET": SECRET}, "is not a host"),
        ({"WEBHOOK_PRIVATE_HOSTS": "*.example.org", "WEBHOOK_SECRET": SECRET}, "is not a host"),
    ],
)
def test_settings_that_would_be_unsafe_are_refused_without_telling_the_secret(monkeypatch, variables, why) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"ECHOCAST_{name}", value)
    with pytest.raises(BadSetting, match=why) as refused:
        load_settings()
    assert variables.get("WEBHOOK_SECRET", SECRET) not in str(refused.value)


def test_the_secret_is_not_in_what_is_printed(settings) -> None:
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()}"
