// One nowcast of an upload: its frames do not change.

import { Source, tileJson } from "./source.js";

const pathOf = (id) => `v1/nowcasts/${encodeURIComponent(id)}`;

export async function nowcastSource(id) {
  return new Source("nowcast", id, await tileJson(pathOf(id)), {
    path: pathOf(id),
  });
}
