/** Short messages at the edge of the page; the newest three, each for some seconds. */

import { messageOf } from "../api/client";
import { createStore, useStore } from "./store";

export interface Notice {
  id: number;
  text: string;
  kind: "info" | "error";
}

const SHOWN = 3;
const SECONDS = { info: 4, error: 8 };
let next = 1;

const notices = createStore<Notice[]>(() => []);

export function useNotices(): Notice[] {
  return useStore(notices);
}

export function tell(text: string, kind: Notice["kind"] = "info"): void {
  const id = next++;
  notices.setState((shown) => {
    const others = shown.filter((one) => one.text !== text || one.kind !== kind); // nothing is said twice at a time
    return [...others.slice(1 - SHOWN), { id, text, kind }];
  }, true);
  setTimeout(() => dismiss(id), SECONDS[kind] * 1000);
}

export function tellError(error: unknown): void {
  tell(messageOf(error), "error");
}

export function dismiss(id: number): void {
  notices.setState((shown) => shown.filter((one) => one.id !== id), true);
}
