"""Every page: whole without any other host, accessible by axe-core in two schemes and widths, and translated."""

import pytest

from service.api.page.router import PAGES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
expect = playwright.expect

ADDRESSES = {"map": "?feed=north&place=52.1,5.2,Utrecht&map=9/52.1/5.2", **{name: name for name in PAGES}}
FOLLOWING = {"operator": "#keys .empty"}
"""Pages that follow events, so that the network is never idle: what is there once they are drawn."""
EVERY = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
SEEN_BY = [("light", 390, EVERY), ("dark", 390, COLOURS), ("dark", 1280, EVERY), ("light", 1280, COLOURS)]
"""Schemes and widths, with the rules of axe-core (Deque); its impacts are minor, moderate, serious and critical."""
UNTRANSLATED = """() => {
  // Names, units, and what the service itself writes stay English: lang="en", translate="no".
  const kept = "script, noscript, style, option, [translate=no], [translate=no] *, [lang=en], [lang=en] *";
  const ownText = ({ childNodes }) => [...childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data);
  return [...document.querySelectorAll(`body *:not(${kept})`)].flatMap(ownText).map((text) => text.trim())
    .filter((text) => /\\b(the|of|and|is|no data|forecast|shown|frames)\\b/i.test(text));
}"""


@pytest.fixture
def visited(live, north):
    """Opens a page in a language and waits until it is drawn; fails where a file of it, or an answer, does."""
    problems = []
    live.route("**/*", lambda route: route.fallback() if route.request.url.startswith(north.url) else route.abort())
    live.on("response", lambda response: problems.append(response.url) if response.status >= 400 else None)
    live.on("requestfailed", lambda request: problems.append(f"{request.url} {request.failure}"))
    live.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)

    def visit(name, language="en"):
        address = ADDRESSES[name]
        until = "load" if name in FOLLOWING else "networkidle"
        live.goto(f"{north.url}/{address}{'&' if '?' in address else '?'}language={language}", wait_until=until)
        if name in FOLLOWING:
            expect(live.locator(FOLLOWING[name])).to_be_visible()
        expect(live.locator("html")).to_have_attribute("lang", language)
        return live

    yield visit
    assert problems == []


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_page_is_accessible_and_whole(visited, name):
    page = visited(name)
    page.evaluate("document.querySelectorAll('.route ~ .route ~ .route').forEach((more) => more.remove())")  # all alike
    assert (
        page.evaluate("[...document.images].filter((image) => image.src && !image.naturalWidth).map(({ src }) => src)")
        == []
    )
    found = []
    for scheme, width, rules in SEEN_BY:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(50)
        violations = axe.Axe().run(page, options={**rules, "resultTypes": ["violations"]}).response["violations"]
        for violation in violations:
            if violation["impact"] in ("serious", "critical"):
                nodes = [node["html"][:150] for node in violation["nodes"]]
                found.append(f"{violation['id']}, {scheme}, {width} px: {nodes[:3]}")
        sticks_out = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sticks_out <= 0, f"{width} px"
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_page_is_german(visited, name):
    assert visited(name, "de").evaluate(UNTRANSLATED) == []
