/** Having the browser save what the server sends. */

import { bearerToken, send } from "./client";

const KEPT_MILLISECONDS = 60_000;

/** By a link where the browser's cookie says who asks; where there is none it is fetched first. */
export async function save(path: string, name: string): Promise<void> {
  const place = bearerToken() ? URL.createObjectURL(await (await send(path)).blob()) : path;
  Object.assign(document.createElement("a"), { href: place, download: name }).click();
  if (place !== path) setTimeout(() => URL.revokeObjectURL(place), KEPT_MILLISECONDS);
}
