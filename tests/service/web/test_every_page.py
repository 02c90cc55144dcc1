"""Every page: whole without any other host, accessible by axe-core in two schemes and widths, and translated."""

import pytest

from service.api.page.router import PAGES

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
expect = playwright.expect

ADDRESSES = {
    "map": "?feed=north&place=52.1,5.2,Utrecht&map=9/52.1/5.2",
    "embed": "embed?feed=north&place=52.1,5.2,Utrecht",
    **{name: name for name in PAGES},
}
FOLLOWING = {"map": ".tick.current.ready", "embed": "#embed-bars svg", "operator": "#keys .empty"}
"""Pages that follow events, so that the network is never idle: what is there once they are drawn."""
EVERY = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
SEEN_BY = [
    ("light", 390, EVERY),
    ("dark", 390, COLOURS),
    ("dark", 1280, EVERY),
    ("light", 1280, COLOURS),
    ("light", 1920, EVERY),
    ("dark", 1920, COLOURS),
]
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


def serious(page, rules):
    """The violations of a page that are serious or critical, each with what has it."""
    found = axe.Axe().run(page, options={**rules, "resultTypes": ["violations"]}).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {[node['html'][:150] for node in each['nodes']][:3]}" for each in grave]


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_page_is_accessible_and_whole(visited, name):
    page = visited(name)
    page.evaluate("document.querySelectorAll('.route ~ .route ~ .route').forEach((more) => more.remove())")  # all alike
    assert page.evaluate("[...document.images].filter((image) => image.src && !image.naturalWidth).length") == 0
    found = {}
    for scheme, width, rules in SEEN_BY:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(50)
        found[scheme, width] = serious(page, rules)
        sticks_out = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert sticks_out <= 0, f"{width} px"
    assert found == {(scheme, width): [] for scheme, width, _ in SEEN_BY}


def test_what_opens_over_the_map_is_accessible(visited):
    page = visited("map")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator(".layers-open").click()
    assert serious(page, EVERY) == []
    page.keyboard.press("Escape")
    page.locator(".grip").click()
    expect(page.locator("#place-more")).to_be_visible()
    assert serious(page, EVERY) == []


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_page_is_german(visited, name):
    assert visited(name, "de").evaluate(UNTRANSLATED) == []
