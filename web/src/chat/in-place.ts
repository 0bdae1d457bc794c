/** Keeps one's place, and the keyboard's, on a message while an alternative takes its place. */

import { drawn, keepingPlace } from "../state/keeping";

const MESSAGES = ".messages [data-message-id]";

interface Left {
  number: number;
  top: number;
  name: string;
}

let left: Left | null = null;

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
  await keepingPlace(async () => {
    await change();
    await drawn();
    bringTo(from);
    await drawn(); // what is in view only now has its height, too
    bringTo(from);
    refocus(from);
  });
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
