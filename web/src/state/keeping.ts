/** Holds the end of the chat off the screen while somebody is being brought elsewhere in it. */

import { createStore, useStore } from "./store";

/** While a place is being kept the end is not followed, which what comes in its stead may seem to be. */
const keeping = createStore(() => ({ places: 0 }));

export function useKeepsPlace(): boolean {
  return useStore(keeping, ({ places }) => places > 0);
}

/** Does `work` without the end being followed. */
export async function keepingPlace<T>(work: () => Promise<T>): Promise<T> {
  keeping.setState(({ places }) => ({ places: places + 1 }));
  try {
    return await work();
  } finally {
    keeping.setState(({ places }) => ({ places: places - 1 }));
  }
}

/** Waits until what was changed has been laid out, and what follows the end has followed it. */
export function drawn(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
}
