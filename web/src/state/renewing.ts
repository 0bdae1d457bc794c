/**
 * When the list of chats and the models are read again, which others change: when one looks at the page again, and
 * when the server is there again.
 */

import { chat } from "./chat";
import { renewConversations, renewShared } from "./conversations";
import { readModels } from "./models";

const PAUSE_MILLISECONDS = 5000;

let readAt = -Infinity;
let timer: ReturnType<typeof setTimeout> | null = null;

/** Reads them again as long as the page lives, beginning after what was read just now. */
export function keepRenewing(): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  readAt = performance.now();
  document.addEventListener("visibilitychange", renew, { signal });
  for (const kind of ["focus", "online"]) addEventListener(kind, renew, { signal });
  return () => {
    ending.abort();
    if (timer) clearTimeout(timer);
    timer = null;
  };
}

/** Reads them again, soon, if they were read a moment ago. */
export function renew(): void {
  if (document.hidden || timer) return;
  timer = setTimeout(read, Math.max(readAt + PAUSE_MILLISECONDS - performance.now(), 0));
}

function read(): void {
  timer = null;
  if (document.hidden) return; // then it is for the next time that one looks
  readAt = performance.now();
  // What could not be read is there for the next time, too.
  renewConversations(chat.getState().id).catch(() => undefined);
  renewShared(chat.getState().id).catch(() => undefined);
  readModels().catch(() => undefined);
}
