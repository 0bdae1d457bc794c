/** Holds the end of the chat off the screen while somebody is being brought elsewhere in it. */

import { createStore, useStore } from "./store";

const FRAMES = 30;

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

/** Brings a message to its place until it stays there, since heights come late; returns it, null if it is not there. */
export async function untilItStays(messageId: string, bring: (message: Element) => void): Promise<Element | null> {
  const selector = `[data-message-id="${CSS.escape(messageId)}"]`;
  let shown: Element | null = null;
  for (let frame = 0, stayed = 0; frame < FRAMES && stayed < 2; frame++) {
    const message = document.querySelector(selector);
    if (message && message === shown) {
      const before = message.getBoundingClientRect().top;
      bring(message);
      stayed = message.getBoundingClientRect().top === before ? stayed + 1 : 0;
    } else stayed = 0; // once it has been drawn the end has been gone to
    shown = message;
    await drawn();
  }
  return shown;
}

/** Waits until what was changed has been laid out, and what follows the end has followed it. */
export function drawn(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
}
