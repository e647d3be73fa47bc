"""Names, labels, proxies and the like: what is taken, what is refused, and that no secret is repeated."""

import pytest

from services.registry.domain import values
from services.registry.domain.errors import BadValueError
from services.registry.domain.proxy import parse_proxy


@pytest.mark.parametrize("name", ["a", "+49 151 1234567", "Zoë's phone", "x" * 64, "acc_short", "日本"])
def test_names(name: str) -> None:
    assert values.check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a\nb", "x" * 65, "a\x00", "acc_abcdefghij23", "\u202eevil"]
)
def test_bad_names(name: str) -> None:
    with pytest.raises(BadValueError) as caught:
        values.check_name(name)
    assert caught.value.field == "name"


def test_labels() -> None:
    assert values.check_labels({"team.x": "a-b_c", "K": "9"}) == {"team.x": "a-b_c", "K": "9"}
    for bad in (
        {"": "a"},
        {"a": ""},
        {"a b": "c"},
        {"a": "ü"},
        {"x" * 64: "a"},
        {str(i): "a" for i in range(65)},
    ):
        with pytest.raises(BadValueError):
            values.check_labels(bad)


def test_numbers_and_zones() -> None:
    assert values.check_priority(-1000) == -1000
    assert values.check_time_zone("") == "UTC"
    assert values.check_time_zone("Europe/Berlin") == "Europe/Berlin"
    assert values.check_chat_ids([-5, -7, -5], "chat_ids") == (-7, -5)
    assert values.check_user_ids([9, 3], "user_ids") == (3, 9)
    for check in (
        lambda: values.check_priority(1001),
        lambda: values.check_time_zone("Mars/Olympus"),
        lambda: values.check_time_zone("../../etc/passwd"),
        lambda: values.check_time_zone("europe/berlin"),
        lambda: values.check_chat_ids([5], "chat_ids"),
        lambda: values.check_chat_ids([0], "chat_ids"),
        lambda: values.check_user_ids([-5], "user_ids"),
        lambda: values.check_user_ids(range(1, 1002), "user_ids"),
        lambda: values.check_api_id(-1),
        lambda: values.check_worker_id("Worker_1", "home_worker"),
        lambda: values.check_worker_id("", "worker_id", required=True),
        lambda: values.check_request_id("a" * 129),
    ):
        with pytest.raises(BadValueError):
            check()


@pytest.mark.parametrize("name", ["", "../x.session", "a/b", "a\\b", ".hidden", "x" * 201, "a\n"])
def test_bad_file_names(name: str) -> None:
    with pytest.raises(BadValueError):
        values.check_file_name(name, "file_name")


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("socks5://1.2.3.4:1080", "socks5://1.2.3.4:1080"),
        ("socks4://host.example:9", "socks4://host.example:9"),
        ("http://user:p%40ss@proxy.example:8080/", "http://proxy.example:8080"),
        ("socks5://user@[2001:db8::1]:1080", "socks5://[2001:db8::1]:1080"),
    ],
)
def test_proxies_show_neither_user_nor_password(url: str, public: str) -> None:
    proxy = parse_proxy(url)
    assert proxy is not None
    assert proxy.public == public
    assert proxy.url == url.removesuffix("/")
    assert "user" not in repr(proxy)


def test_no_proxy() -> None:
    assert parse_proxy("") is None


@pytest.mark.parametrize(
    "url",
    [
        "canary",
        "ftp://canary:canary@h:1",
        "socks5://canary:canary@h",
        "socks5://canary:canary@h:0",
        "socks5://canary:canary@h:99999",
        "socks5://canary:canary@:1080",
        "socks5://:canary@h:1080",
        "socks5://canary:canary@h:1080/path",
        "socks5://canary:canary@h:1080?q",
        "socks5://canary:can ary@h:1080",
        f"socks5://canary:{'canary' * 50}@h:1080",
        "socks5://" + "h" * 600,
        "socks5://canary:canary@[::1:1080",
    ],
)
def test_bad_proxies_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(BadValueError) as caught:
        parse_proxy(url)
    assert caught.value.field == "proxy"
    assert "canary" not in caught.value.sentence
