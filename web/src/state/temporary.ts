/** Whether the chat that begins next is forgotten after a day. */

import { chat } from "./chat";
import { createStore, useStore } from "./store";

const TEMPORARY_SECONDS = 86_400;

const temporary = createStore(() => ({ on: false }));

// It is said of one chat: whatever is opened, or made of it, ends the saying.
chat.subscribe((now, before) => {
  if (now.id !== before.id) temporary.setState({ on: false });
});

export function useTemporary(): boolean {
  return useStore(temporary, ({ on }) => on);
}

export function setTemporary(on: boolean): void {
  temporary.setState({ on });
}

/** What a new conversation is made with. */
export function newConversation(): { expires_after?: { seconds: number } } {
  return temporary.getState().on ? { expires_after: { seconds: TEMPORARY_SECONDS } } : {};
}
