"""Files of the page: compressed, and kept by browsers as long as they are good."""

import re


def test_a_page_and_its_files_are_compressed_and_asked_for_once(gateway):
    page = gateway.get("/", headers={"Accept": "text/html", "Accept-Encoding": "gzip"})
    assert (page.headers["content-encoding"], page.headers["cache-control"]) == ("gzip", "no-cache")
    unchanged = gateway.get("/", headers={"Accept": "text/html", "If-None-Match": page.headers["etag"]})
    assert unchanged.status_code == 304
    [script] = re.findall(r'src="(static/@[0-9a-f]{12}/live\.js)"', page.text)
    modules = re.findall(r'rel="modulepreload" href="(static/@[0-9a-f]{12}/[^"]+)"', page.text)
    assert script.replace("live.js", "map/frame_stack.js") in modules  # fetched without waiting for what imports it
    assert {gateway.get(f"/{module}").status_code for module in modules} == {200}
    file = gateway.get(f"/{script}")
    assert file.headers["content-type"].startswith("text/javascript")
    assert "immutable" in file.headers["cache-control"]
    plain = gateway.get("/static/live.js", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["cache-control"] == "no-cache"
    assert plain.content == file.content
    assert gateway.get("/static/live.js", headers={"If-None-Match": plain.headers["etag"]}).status_code == 304


def test_leaflet_is_served_by_the_service_itself(gateway):
    script = gateway.get("/static/leaflet/leaflet.js")
    assert script.status_code == 200
    assert b"Leaflet 1.9" in script.content
    for path in ("leaflet/../../settings.py", "leaflet/none.js", "@0123456789ab/none.js", "leaflet", ""):
        assert gateway.get(f"/static/{path}").status_code == 404


def test_a_file_of_an_earlier_version_is_still_there_but_not_kept(gateway):
    file = gateway.get("/static/@0123456789ab/live.js")
    assert (file.status_code, file.headers["cache-control"]) == (200, "no-cache")
