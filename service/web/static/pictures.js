// Addresses of pictures and files. The browser's own requests carry no key: with one, they are fetched here.

import { call } from "./api.js";
import { key } from "./key.js";
import { relative } from "./format.js";

const MAX_FETCHED = 300;
const fetched = new Map(); // address -> promise of an address in memory

// The address under which an <img> can show a picture.
export function pictureAddress(address) {
  if (!key()) return address;
  if (!fetched.has(address)) {
    fetched.set(address, inMemory(address));
    fetched.get(address).catch(() => fetched.delete(address));
    if (fetched.size > MAX_FETCHED) forgetOldest();
  }
  return fetched.get(address);
}

const inMemory = async (address) => URL.createObjectURL(await (await call(address)).blob());

function forgetOldest() {
  const [address, url] = fetched.entries().next().value;
  fetched.delete(address);
  url.then(URL.revokeObjectURL, () => {});
}

export function downloadLink({ href, title }, { onProblem }) {
  const link = document.createElement("a");
  link.className = "button quiet";
  link.href = relative(href);
  link.download = "";
  link.textContent = title;
  link.addEventListener("click", (event) => {
    if (!key()) return;
    event.preventDefault();
    save(relative(href)).catch(onProblem);
  });
  return link;
}

async function save(address) {
  const response = await call(address);
  const name = /filename="([^"]*)"/.exec(response.headers.get("content-disposition") ?? "")?.[1] ?? "";
  const url = URL.createObjectURL(await response.blob());
  Object.assign(document.createElement("a"), { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}
