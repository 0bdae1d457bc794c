/**
 * The list in the sidebar: pages of one's own conversations, the last used first; with the first of them those that
 * are pinned, those that others shared, and the folders. What is in a folder, and what is archived, is read when one
 * asks for it.
 */

import { call } from "../api/client";
import type { Conversation, Page } from "../api/types";
import { keepDraft, NOTHING } from "./drafts";
import { tellError } from "./notices";
import { createStore, useStore } from "./store";

const PAGE = 40;
const MOST_PINNED = 100;

export interface Folder {
  name: string;
  conversations: number;
}

export interface Conversations {
  folders: Folder[];
  /** Where the next page of a folder that is open begins; null where there is none. */
  cursors: Record<string, string | null>;
  list: Conversation[];
  /** Where the next page begins. */
  cursor: string | null;
  archiveIsRead: boolean;
  hasMore: boolean;
  state: "unread" | "reading" | "read" | "failed";
}

const NONE: Conversations = { folders: [], cursors: {}, list: [], cursor: null, archiveIsRead: false, hasMore: false, state: "unread" };

export const conversations = createStore<Conversations>(() => NONE);

export function useConversations<T>(select: (state: Conversations) => T): T {
  return useStore(conversations, select);
}

/** Reads the first page, or the next. */
export async function readConversations(more = false): Promise<void> {
  const { cursor, state } = conversations.getState();
  if (state === "reading") return;
  conversations.setState({ state: "reading" });
  try {
    const usual = { limit: PAGE, sort: "used", pinned: false, archived: false, folder: "" };
    const first = [
      { limit: MOST_PINNED, sort: "used", pinned: true, archived: false },
      { limit: PAGE, sort: "used", shared: true },
    ];
    const asked = more ? [{ ...usual, after: cursor }] : [usual, ...first];
    const reading = asked.map((query) => call<Page<Conversation>>("/v1/conversations", { query }));
    const [pages] = await Promise.all([Promise.all(reading), more ? undefined : readFolders()]);
    const found = pages.flatMap((page) => page.data);
    const own = pages[0]!;
    conversations.setState((now) => ({
      list: merged(more ? now.list : [], found),
      cursor: own.next_cursor ?? own.last_id,
      hasMore: own.has_more,
      archiveIsRead: more && now.archiveIsRead,
      state: "read",
    }));
  } catch (error) {
    conversations.setState({ state: "failed" });
    tellError(error);
  }
}

export async function readFolders(): Promise<void> {
  const { data } = await call<Page<Folder>>("/v1/folders");
  conversations.setState({ folders: data });
}

/** Reads what is in a folder, or the next page of it. */
export async function readFolder(name: string): Promise<void> {
  const after = conversations.getState().cursors[name];
  const query = { limit: PAGE, sort: "used", folder: name, archived: false, after };
  const page = await call<Page<Conversation>>("/v1/conversations", { query });
  conversations.setState((now) => ({
    list: merged(now.list, page.data),
    cursors: { ...now.cursors, [name]: page.next_cursor ?? null },
  }));
}

/** Reads those that were put away. */
export async function readArchive(): Promise<void> {
  const query = { limit: MOST_PINNED, sort: "used", archived: true };
  const page = await call<Page<Conversation>>("/v1/conversations", { query });
  conversations.setState((now) => ({ list: merged(now.list, page.data), archiveIsRead: true }));
}

function merged(known: Conversation[], further: Conversation[]): Conversation[] {
  const all = new Map([...known, ...further].map((one) => [one.id, one]));
  return [...all.values()];
}

/** Puts a conversation into the list, in its place if it is there, else on top. */
export function noteConversation(conversation: Conversation): void {
  const known = conversations.getState().list.find((one) => one.id === conversation.id);
  conversations.setState(({ list }) => ({
    list: known ? list.map((one) => (one.id === conversation.id ? conversation : one)) : [conversation, ...list],
  }));
  if (known && (known.folder ?? null) !== (conversation.folder ?? null)) readFolders().catch(tellError);
}

export function forgetConversations(): void {
  conversations.setState(NONE);
}

/** Changes a conversation's title or its place in the list. */
export async function updateConversation(
  id: string,
  changes: { title?: string; pinned?: boolean; archived?: boolean; expires_after?: null; folder?: string | null },
): Promise<void> {
  noteConversation(await call<Conversation>(`/v1/conversations/${id}`, { body: changes }));
}

/** Ends one's own membership in what another person shared. */
export function leaveConversation(id: string): Promise<void> {
  return giveUp(id, `/v1/conversations/${id}/members/me`);
}

/** Those that this tab itself has given up, or is about to. */
const givenUp = new Set<string>();

export function isGivenUp(id: string): boolean {
  return givenUp.has(id);
}

/** Noted before the server is asked, whose feed may end before it has answered. */
async function giveUp(id: string, path: string): Promise<void> {
  givenUp.add(id);
  try {
    await call(path, { method: "DELETE" });
  } catch (error) {
    givenUp.delete(id);
    throw error;
  }
  keepDraft(id, NOTHING);
  forgetConversation(id);
}

/** Takes a conversation out of the list, when it is gone or was taken away. */
export function forgetConversation(id: string): void {
  const known = conversations.getState().list.find((one) => one.id === id);
  takeOut(id);
  if (known?.folder) readFolders().catch(tellError);
}

function takeOut(id: string): void {
  conversations.setState(({ list }) => ({ list: list.filter((one) => one.id !== id) }));
}

/** Deletes every conversation of one's own, a page at a time; tells how many are gone so far. */
export async function deleteAll(onStep: (gone: number) => void, signal: AbortSignal): Promise<number> {
  let gone = 0;
  for (;;) {
    const { data } = await call<Page<Conversation>>("/v1/conversations", { query: { limit: PAGE }, signal });
    for (const one of data) {
      await call(`/v1/conversations/${one.id}`, { method: "DELETE", signal });
      takeOut(one.id);
      onStep(++gone);
    }
    if (!data.length) {
      await readFolders();
      return gone;
    }
  }
}

export function deleteConversation(id: string): Promise<void> {
  return giveUp(id, `/v1/conversations/${id}`);
}
