/**
 * How a chat begins: a conversation is made for its first question, since files need one to go into, and becomes the
 * chat when the server has taken that question in. One that was not taken in leaves no empty chat behind.
 */

import { call, newKey } from "../api/client";
import { persist } from "../api/stream";
import type { Conversation, Page, Part, Segment } from "../api/types";
import { adopt, openNew } from "./chat";
import { deleteConversation, noteConversation } from "./conversations";
import { release } from "./documents";
import { moveDraft } from "./drafts";
import { go, replace, route } from "./router";
import { newConversation } from "./temporary";

const TITLE = 60;

/** Makes the conversation of a first question; again and again by `prepare` while the server is away. */
export async function makeConversation(
  parts: readonly Part[],
  prepare: (work: () => Promise<Conversation>) => Promise<Conversation>,
  signal: AbortSignal,
): Promise<Conversation> {
  const how = { body: newConversation(), idempotencyKey: newKey(), signal };
  const made = await prepare(() => call<Conversation>("/v1/conversations", how));
  return { ...made, title: titleOf(parts) }; // until the server has made one, in the background
}

function titleOf(parts: readonly Part[]): string {
  const text = parts.find((part) => part.text && !part.antiphon)?.text ?? parts[0]?.antiphon?.filename ?? "New chat";
  const line = text.trim().split("\n")[0]!.replace(/[#*`>|\s]+/g, " ").trim();
  if (line.length <= TITLE) return line;
  const cut = line.slice(0, TITLE);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), TITLE / 2))}…`;
}

/** Makes it the chat on the screen, or, where one looks elsewhere by now, one of the list. */
export function becomeChat(made: Conversation, isLeft: boolean): void {
  if (isLeft) return noteConversation(made);
  adopt(made);
  moveDraft(made.id);
  if (route.getState().view === "") replace("c", made.id); // else one looks at something else meanwhile
}

/** Takes away what was made for a question that did not come in, unless it did after all, or others said something. */
export async function unmake(made: Conversation): Promise<void> {
  const { signal } = new AbortController();
  const path = `/v1/conversations/${made.id}/tree`;
  const { data } = await persist(() => call<Page<Segment>>(path), signal);
  if (data.some((segment) => segment.item_count > 0)) return noteConversation(made);
  await persist(() => release(made.id), signal);
  await persist(() => deleteConversation(made.id), signal);
}

/** Goes to a new chat; one that has not become one yet gives back what was asked there. */
export function beginNew(): void {
  if (route.getState().view === "") openNew();
  else go("");
}
