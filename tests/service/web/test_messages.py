"""The words of the page: every key that is used exists in each language, and says the same."""

import json
import re
from functools import cache
from html.parser import HTMLParser

import pytest

from service.api.page.router import WEB

LANGUAGES = sorted(path.stem for path in (WEB / "messages").glob("*.json"))
SCRIPTS = [*sorted((WEB / "static").rglob("*.js")), *WEB.glob("*.js")]
PAGES = sorted(WEB.glob("*.html"))
IN_SCRIPT = re.compile(r"""\b(?:text|message)\(\s*(?:"([^"]+)"|`([^`$]*)(\$\{)?)""")
IN_SCRIPT_AS_VALUE = re.compile(r"""["`]([a-z]\w*(?:\.\w[\w-]*)+)(?:["`]|(\.?\$\{))""")
IN_HTML = re.compile(r"""data-message(?:-[a-z]+)?="([^"]+)\"""")
KEY = re.compile(r"[a-z][a-zA-Z0-9]*(\.[a-zA-Z0-9][\w-]*)+")
CATEGORIES = {"en": {"one", "other"}, "de": {"one", "other"}}


@cache
def messages(language):
    return json.loads((WEB / "messages" / f"{language}.json").read_text(encoding="utf-8"))


def forms(message):
    return list(message.values()) if isinstance(message, dict) else [message]


def placeholders(message):
    return {name for form in forms(message) for name in re.findall(r"\{(\w+)\}", form)}


@cache
def used():
    """Keys that scripts and pages name, and the beginnings of those that scripts compose, each with its file."""
    keys, beginnings = {}, {}
    for path in SCRIPTS:
        for whole, beginning, composed in IN_SCRIPT.findall(path.read_text(encoding="utf-8")):
            if whole or not composed:
                keys[whole or beginning] = path.name
            else:
                beginnings[beginning] = path.name
    for path in PAGES:
        keys |= dict.fromkeys(IN_HTML.findall(path.read_text(encoding="utf-8")), path.name)
    return keys, beginnings


def test_keys_have_the_same_form_and_order_in_each_language():
    for language in LANGUAGES:
        text = (WEB / "messages" / f"{language}.json").read_text(encoding="utf-8")
        pairs = json.loads(text, object_pairs_hook=list)
        keys = [key for key, _ in pairs]
        assert keys == sorted(set(keys)), f"{language}: sort the keys, and name none twice"
        assert [key for key in keys if not KEY.fullmatch(key)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_message(language):
    english, other = messages("en"), messages(language)
    assert sorted(other) == sorted(english)
    assert [key for key in english if placeholders(english[key]) != placeholders(other[key])] == []
    assert [key for key in english if isinstance(english[key], dict) != isinstance(other[key], dict)] == []
    for key, message in other.items():
        assert all(form.strip() == form and form for form in forms(message)), key
        if isinstance(message, dict):
            assert set(message) == CATEGORIES[language], key


def test_every_key_that_is_used_exists():
    keys, beginnings = used()
    english = messages("en")
    assert {key: file for key, file in keys.items() if key not in english} == {}
    lacking = {start: file for start, file in beginnings.items() if not any(key.startswith(start) for key in english)}
    assert lacking == {}


def test_no_message_is_unused():
    keys, beginnings = used()
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS)
    named = {key for key, _ in IN_SCRIPT_AS_VALUE.findall(scripts)} | set(keys)
    unused = [key for key in messages("en") if key not in named and not key.startswith(tuple(beginnings) or ("\0",))]
    assert unused == []


class Words(HTMLParser):
    """Texts of a page that stand in it, but for those without JavaScript, and those that no language changes."""

    VOID = frozenset({"meta", "link", "input", "img", "br", "hr"})

    def __init__(self):
        super().__init__()
        self.inside, self.found = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.inside.append(tag == "noscript" or dict(attrs).get("translate") == "no")
        self.found += [value for name, value in attrs if name in ("aria-label", "placeholder", "title") and value]

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            self.inside.pop()

    def handle_data(self, data):
        if re.search(r"[A-Za-z]{2}", data) and not any(self.inside):
            self.found.append(data.strip())


@pytest.mark.parametrize("page", [page.stem for page in PAGES])
def test_the_words_of_a_page_are_messages(page):
    words = Words()
    words.feed((WEB / f"{page}.html").read_text(encoding="utf-8"))
    assert words.found == []
