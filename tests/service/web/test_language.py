"""The language of the page: which it is, how it is switched, and how it writes numbers and times."""

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect


def test_the_language_is_that_of_the_browser_until_another_is_chosen(page, stack):
    html, switch = page.locator("html"), page.locator("select[data-languages]")
    expect(html).to_have_attribute("lang", "en")
    expect(switch).to_have_accessible_name("Language")
    switch.select_option("Deutsch")
    expect(html).to_have_attribute("lang", "de")
    expect(switch).to_have_accessible_name("Sprache")
    page.goto(f"{stack.url}/docs")
    expect(html).to_have_attribute("lang", "de")
    page.goto(f"{stack.url}/?language=en")
    expect(html).to_have_attribute("lang", "en")
    page.goto(f"{stack.url}/?language=tlh")
    expect(html).to_have_attribute("lang", "de")
    page.evaluate("localStorage.clear()")


def test_numbers_and_times_are_written_as_the_language_writes_them(page, stack):
    page.goto(f"{stack.url}/?language=de")
    written = page.evaluate(
        """async () => {
          const { number, clock, date } = await import("/static/messages.js");
          const evening = "2026-06-01T20:05Z";
          return [
            number(1234.5), clock(evening), clock(evening, { timeZone: "UTC" }),
            date(evening, { weekday: "long", day: "numeric", month: "long" }),
          ];
        }"""
    )
    assert written == ["1.234,5", "22:05", "20:05", "Montag, 1. Juni"]
