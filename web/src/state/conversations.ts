/** The list in the sidebar: keyset pages of one's own conversations, newest first. */

import { call, send } from "../api/client";
import type { Conversation, Page } from "../api/types";
import { tellError } from "./notices";
import { createStore, useStore } from "./store";

const PAGE = 40;

export interface Conversations {
  list: Conversation[];
  hasMore: boolean;
  state: "unread" | "reading" | "read" | "failed";
}

export const conversations = createStore<Conversations>(() => ({ list: [], hasMore: false, state: "unread" }));

export function useConversations<T>(select: (state: Conversations) => T): T {
  return useStore(conversations, select);
}

/** Reads the first page, or the next. */
export async function readConversations(more = false): Promise<void> {
  const { list, state } = conversations.getState();
  if (state === "reading") return;
  conversations.setState({ state: "reading" });
  try {
    const after = more ? list.at(-1)?.id : null;
    const page = await call<Page<Conversation>>("/v1/conversations", { query: { limit: PAGE, after } });
    conversations.setState((now) => ({
      list: more ? merged(now.list, page.data) : page.data,
      hasMore: page.has_more,
      state: "read",
    }));
  } catch (error) {
    conversations.setState({ state: "failed" });
    tellError(error);
  }
}

function merged(known: Conversation[], further: Conversation[]): Conversation[] {
  const ids = new Set(known.map((one) => one.id));
  return [...known, ...further.filter((one) => !ids.has(one.id))];
}

/** Puts a conversation into the list, in its place if it is there, else on top. */
export function noteConversation(conversation: Conversation): void {
  conversations.setState(({ list }) => {
    const known = list.some((one) => one.id === conversation.id);
    return {
      list: known ? list.map((one) => (one.id === conversation.id ? conversation : one)) : [conversation, ...list],
    };
  });
}

export function forgetConversations(): void {
  conversations.setState({ list: [], hasMore: false, state: "unread" });
}

export async function renameConversation(id: string, title: string): Promise<void> {
  noteConversation(await call<Conversation>(`/v1/conversations/${id}`, { body: { title } }));
}

export async function deleteConversation(id: string): Promise<void> {
  await send(`/v1/conversations/${id}`, { method: "DELETE" });
  conversations.setState(({ list }) => ({ list: list.filter((one) => one.id !== id) }));
}
