/** Keeps one's place, and the keyboard's, on a message while an alternative takes its place. */

import { keepingPlace, untilItStays } from "../state/keeping";

interface Left {
  top: number;
  name: string;
}

let left: Left | null = null;

/** Notes where a message stands whose button is being pressed: it is gone before anybody asks. */
export function leave(button: Element): void {
  const message = button.closest("[data-message-id]");
  const name = button.closest("button")?.getAttribute("aria-label") ?? "";
  left = message && { top: message.getBoundingClientRect().top, name };
}

/** Does `change`, which returns the id of what has come in the place of the message that was left, and brings that there. */
export async function inPlace(change: () => Promise<string | null>): Promise<void> {
  const from = left;
  left = null;
  await keepingPlace(async () => {
    const id = await change();
    if (!from || id === null) return;
    const message = await untilItStays(id, (shown) => bringTo(from.top, shown));
    if (message) refocus(message, from.name);
  });
}

function bringTo(top: number, message: Element): void {
  const viewport = message.closest(".viewport");
  if (viewport) viewport.scrollTop += message.getBoundingClientRect().top - top;
}

function refocus(message: Element, name: string): void {
  const buttons = [...message.querySelectorAll<HTMLButtonElement>(".siblings button:not(:disabled)")];
  const same = buttons.find((one) => one.getAttribute("aria-label") === name);
  (same ?? buttons[0])?.focus({ preventScroll: true });
}
