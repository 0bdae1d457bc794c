/**
 * Where one is, in the address behind `#`: it never reaches the server, so that no path collides with a
 * dialect's, and a share link's token stands in nobody's log.
 */

import { createStore, useStore } from "./store";

export interface Route {
  /** The first word: "" is a new chat, "c" a conversation, others are views (see `views/registry.ts`). */
  view: string;
  /** What follows, e.g. a conversation's id. */
  rest: string[];
}

export function parseRoute(hash: string): Route {
  const [view = "", ...rest] = hash.replace(/^#?\/?/, "").split("/").map(decoded);
  return { view, rest: rest.filter(Boolean) };
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const route = createStore<Route>(() => parseRoute(location.hash));

addEventListener("hashchange", () => route.setState(parseRoute(location.hash), true));

export function go(...parts: string[]): void {
  const hash = `#/${parts.map(encodeURIComponent).join("/")}`;
  if (location.hash !== hash) location.hash = hash;
}

/** Changes the address without a new entry in the history, e.g. when a new chat gets its id. */
export function replace(...parts: string[]): void {
  history.replaceState(null, "", `#/${parts.map(encodeURIComponent).join("/")}`);
  route.setState(parseRoute(location.hash), true);
}

export function link(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

export function useRoute<T>(select: (route: Route) => T): T {
  return useStore(route, select);
}
