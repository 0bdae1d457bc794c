/** Keeps one's place, and the keyboard's, on a message while an alternative takes its place. */

const MESSAGES = ".messages [data-message-id]";

let left: { number: number; top: number; name: string } | null = null;

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
  await change();
  await drawn();
  if (!from) return;
  const message = document.querySelectorAll(MESSAGES)[from.number];
  const viewport = message?.closest(".viewport");
  if (!message || !viewport) return;
  viewport.scrollTop += message.getBoundingClientRect().top - from.top;
  const buttons = [...message.querySelectorAll<HTMLButtonElement>(".siblings button:not(:disabled)")];
  const same = buttons.find((one) => one.getAttribute("aria-label") === from.name);
  (same ?? buttons[0])?.focus({ preventScroll: true });
}

/** Waits until what was changed has been laid out, and what follows the end has followed it. */
function drawn(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve())));
}
