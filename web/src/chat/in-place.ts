/** Keeps one's place, and the keyboard's, on a message while an alternative takes its place. */

import { createStore, useStore } from "../state/store";

const MESSAGES = ".messages [data-message-id]";

interface Left {
  number: number;
  top: number;
  name: string;
}

let left: Left | null = null;

/** While a place is being kept the end is not followed, which what comes in its stead may seem to be. */
const keeping = createStore(() => ({ place: false }));

export function useKeepsPlace(): boolean {
  return useStore(keeping, ({ place }) => place);
}

/** Notes where a message stands whose button is being pressed: it is gone before anybody asks. */
export function leave(button: Element): void {
  const message = button.closest("[data-message-id]");
  const name = button.closest("button")?.getAttribute("aria-label") ?? "";
  const number = message ? [...document.querySelectorAll(MESSAGES)].indexOf(message) : -1;
  left = message && { number, top: message.getBoundingClientRect().top, name };
}

/** Does `change` and brings what stands in the place of the message that was left to where that was. */
export async function inPlace(change: () => Promise<void>): Promise<void> {
  const from = left;
  left = null;
  if (!from) return change();
  keeping.setState({ place: true });
  try {
    await change();
    await drawn();
    bringTo(from);
    await drawn(); // what is in view only now has its height, too
    bringTo(from);
    refocus(from);
  } finally {
    keeping.setState({ place: false });
  }
}

function bringTo({ number, top }: Left): void {
  const message = document.querySelectorAll(MESSAGES)[number];
  const viewport = message?.closest(".viewport");
  if (message && viewport) viewport.scrollTop += message.getBoundingClientRect().top - top;
}

function refocus({ number, name }: Left): void {
  const message = document.querySelectorAll(MESSAGES)[number];
  const buttons = [...(message?.querySelectorAll<HTMLButtonElement>(".siblings button:not(:disabled)") ?? [])];
  const same = buttons.find((one) => one.getAttribute("aria-label") === name);
  (same ?? buttons[0])?.focus({ preventScroll: true });
}

/** Waits until what was changed has been laid out, and what follows the end has followed it. */
function drawn(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
}
