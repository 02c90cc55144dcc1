// What can be downloaded of the nowcast that the map shows: the links of the service, each with a title in words.

import { call, json } from "../api.js";
import { relative } from "../format.js";

const TITLES = { "application/x-netcdf": "share.netcdf", "image/webp": "share.webp", "image/gif": "share.gif", "image/tiff": "share.geotiff" };

const pathOf = ({ kind, name }) => (kind === "feed" ? `v1/feeds/${encodeURIComponent(name)}/latest` : `v1/nowcasts/${encodeURIComponent(name)}`);

// [{href, key}] or, of products that only their title tells apart, [{href, title}]; and the address of the nowcast.
export async function downloadsOf(source) {
  const { links } = await json(pathOf(source));
  const nowcast = links.find(({ rel }) => rel === (source.kind === "feed" ? "item" : "self"));
  const results = links.filter(({ rel }) => rel === "results" || rel === "alternate");
  const products = links.filter(({ rel }) => rel === "enclosure");
  return {
    nowcast: relative(nowcast.href),
    files: [
      ...results.map(({ href, type }) => ({ href: relative(href), key: TITLES[type.split(";")[0]] })).filter(({ key }) => key),
      ...products.map(({ href, title }) => ({ href: relative(href), title })),
    ],
  };
}

// Fetches a file with the key of this tab, and hands it to the browser under the name that the service gives it.
export async function save(href, name = "") {
  const response = await call(href);
  const given = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") ?? "");
  saveBlob(await response.blob(), given?.[1] ?? name);
}

export function saveBlob(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
