/**
 * The list in the sidebar: pages of one's own conversations, the last used first; with the first of them those that
 * are pinned, those that others shared, and the folders. What is in a folder, and what is archived, is read when one
 * asks for it.
 */

import { call, isMissing, messageOf } from "../api/client";
import type { Conversation, Page } from "../api/types";
import { keepDraft, NOTHING } from "./drafts";
import { tellError } from "./notices";
import { createStore, kept, useStore } from "./store";

const PAGE = 40;
const LARGEST_PAGE = 100;

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
  /** Why the first page is not there, until it is. */
  problem: string | null;
}

const NONE: Conversations = {
  folders: [],
  cursors: {},
  list: [],
  cursor: null,
  archiveIsRead: false,
  hasMore: false,
  state: "unread",
  problem: null,
};

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
      { limit: LARGEST_PAGE, sort: "used", pinned: true, archived: false },
      { limit: PAGE, sort: "used", shared: true },
    ];
    const asked = more ? [{ ...usual, after: cursor }] : [usual, ...first];
    const reading = asked.map((query) => call<Page<Conversation>>("/v1/conversations", { query }));
    const [pages] = await Promise.all([Promise.all(reading), more ? undefined : readFolders()]);
    const found = pages.flatMap((page) => page.data);
    const own = pages[0]!;
    if (!more) readUpTo = own.data[0]?.updated_at ?? 0;
    readFrom = own.data.at(-1)?.updated_at ?? 0;
    conversations.setState((now) => ({
      list: merged(more ? now.list : [], found),
      cursor: own.next_cursor ?? own.last_id,
      hasMore: own.has_more,
      archiveIsRead: more && now.archiveIsRead,
      state: "read",
      problem: null,
    }));
  } catch (error) {
    if (more) tellError(error);
    conversations.setState(more ? { state: "read" } : { state: "failed", problem: messageOf(error) });
  }
}

/** When the newest was used that was read, and the last one of the pages read so far, in seconds. */
let readUpTo = 0;
let readFrom = 0;

/**
 * Reads what was used last anew, about as much as is shown, and puts it into that, of which all else stays: further
 * pages, folders, the archive, and the chat that is open. What would have to be there and is not is gone.
 */
export async function renewConversations(openId: string | null): Promise<void> {
  const { list: asked, state } = conversations.getState();
  if (state === "reading") return;
  if (state !== "read") return readConversations();
  const query = { limit: Math.min(asked.length + PAGE, LARGEST_PAGE), sort: "used" };
  const page = await call<Page<Conversation>>("/v1/conversations", { query });
  const now = conversations.getState();
  if (now.state !== "read") return; // somebody else logged in, or all of it is being read
  const list = showNewest(now, asked, page, openId, false);
  // So much is new that some of it is on further pages.
  const last = page.data.at(-1)?.updated_at ?? 0;
  if (page.has_more && last > readUpTo) {
    readFrom = last;
    conversations.setState({ cursor: page.next_cursor ?? null, hasMore: true });
  }
  readUpTo = page.data[0]?.updated_at ?? 0;
  if (refiled(now.list, list)) await readFolders();
}

/** Reads those that others shared anew, of which one page is shown: what came, what went, and what they are called. */
export async function renewShared(openId: string | null): Promise<void> {
  const { list: asked, state } = conversations.getState();
  if (state !== "read") return; // then they are read with all else
  const page = await call<Page<Conversation>>("/v1/conversations", { query: { limit: PAGE, sort: "used", shared: true } });
  const now = conversations.getState();
  if (now.state === "read") showNewest(now, asked, page, openId, true);
}

/**
 * Shows the chats of a newest page, of one's own or those that others shared, as they are now, and returns the list.
 * `asked` is the list as it was before that was read.
 */
function showNewest(
  now: Conversations,
  asked: Conversation[],
  page: Page<Conversation>,
  openId: string | null,
  shared: boolean,
): Conversation[] {
  const read = new Map(page.data.map((one) => [one.id, one]));
  const since = page.has_more ? page.data.at(-1)!.updated_at : -1;
  const isOfThese = (one: Conversation) => Boolean(one.antiphon) === shared;
  const isGone = (one: Conversation) => isOfThese(one) && !read.has(one.id) && one.updated_at > since && asked.includes(one);
  const stays = now.list.filter((one) => one.id === openId || !isGone(one));
  const known = new Set([...now.list, ...asked].map((one) => one.id));
  const came = page.data.filter((one) => !known.has(one.id) && !givenUp.has(one.id) && (shared || isShown(now, one)));
  const list = [...came, ...stays.map((one) => newer(one, read.get(one.id)))];
  if (list.length !== now.list.length || list.some((one, at) => one !== now.list[at])) conversations.setState({ list });
  return list;
}

/** Whether a chat would be shown by what was read so far; others come with further pages, their folder, the archive. */
function isShown({ archiveIsRead, cursors, hasMore }: Conversations, { archived, pinned, folder, updated_at }: Conversation): boolean {
  if (archived) return archiveIsRead;
  return pinned || !hasMore || updated_at >= readFrom || (folder != null && cursors[folder] !== undefined);
}

/** A chat without a title yet shows what was asked. */
function newer(known: Conversation, read: Conversation | undefined): Conversation {
  if (!read || read.revision < known.revision) return known;
  return kept(known, { ...read, title: read.title ?? known.title });
}

/** Whether a chat came into a folder or out of one. */
function refiled(before: Conversation[], after: Conversation[]): boolean {
  const folders = (list: Conversation[]) => new Map(list.map((one) => [one.id, one.folder ?? null]));
  const [old, fresh] = [folders(before), folders(after)];
  return [...new Set([...old.keys(), ...fresh.keys()])].some((id) => (old.get(id) ?? null) !== (fresh.get(id) ?? null));
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
  const query = { limit: LARGEST_PAGE, sort: "used", archived: true };
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
  try {
    noteConversation(await call<Conversation>(`/v1/conversations/${id}`, { body: changes }));
  } catch (error) {
    if (isMissing(error)) forgetConversation(id);
    throw error;
  }
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
    await remove(path);
  } catch (error) {
    givenUp.delete(id);
    throw error;
  }
  keepDraft(id, NOTHING);
  forgetConversation(id);
}

/** Deletes what may have been deleted elsewhere by now: then it is done. */
async function remove(path: string, signal?: AbortSignal): Promise<void> {
  try {
    await call(path, { method: "DELETE", signal });
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
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
      await remove(`/v1/conversations/${one.id}`, signal);
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
