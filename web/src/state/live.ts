/**
 * What others do in the open conversation, and oneself in other tabs: a feed that tells of every change, from
 * where it was before after every loss. What this tab does itself is told, too, and passed over.
 */

import { call } from "../api/client";
import { Feed } from "../api/feed";
import { pause } from "../api/stream";
import type { Conversation, FeedEvent, Member, Page, Someone } from "../api/types";
import { attend } from "./asking";
import { busily, chat, readTree, reread, rereadAll, running, whileOpen } from "./chat";
import { forgetConversation, isGivenUp, noteConversation } from "./conversations";
import { rescueDraft } from "./drafts";
import { tell, tellError } from "./notices";
import { go } from "./router";
import { noteRating } from "./rating";
import { renew } from "./renewing";
import { look, session } from "./session";
import { createStore, useStore } from "./store";
import { isRunning } from "./turns";

const GATHER_MILLISECONDS = 250;
const WAIT_MILLISECONDS = 10_000;
/** A typing mark holds for six seconds on the server. */
const TYPING_MILLISECONDS = 3000;
const MOST_MEMBERS = 100;

export interface Live {
  /** Who else is there, and who of them is writing. */
  others: Someone[];
  writing: Someone[];
  /** Names of everybody who was met in this conversation. */
  names: Record<string, string>;
}

const NOBODY: Live = { others: [], writing: [], names: {} };

export const live = createStore<Live>(() => NOBODY);

export function useLive<T>(select: (live: Live) => T): T {
  return useStore(live, select);
}

let followed: string | null = null;
let feed: Feed | null = null;
let membersOf: string | null = null;

/** Follows whichever conversation is open, as long as the page lives. */
export function keepLive(): () => void {
  const begin = () => {
    const { id, state, conversation } = chat.getState();
    if (id === followed) return;
    if (id !== null && (state !== "read" || !conversation)) return;
    followed = id;
    membersOf = null;
    live.setState(NOBODY, true);
    feed?.close();
    feed = null;
    if (id !== null) void keepFollowing(id, conversation!.revision, whileOpen());
  };
  begin();
  const undo = chat.subscribe(begin);
  return () => {
    undo();
    followed = null;
    feed?.close();
  };
}

async function keepFollowing(id: string, revision: number, signal: AbortSignal): Promise<void> {
  let last = revision;
  let attempt = 0;
  const mine = new Feed(id, (event) => {
    if (attempt > 0) renew();
    attempt = 0;
    if (event.revision !== undefined && event.type !== "ready") last = Math.max(last, event.revision);
    if (followed === id && !signal.aborted) hear(event).catch(tellError);
  });
  feed = mine;
  while (!signal.aborted && followed === id) {
    const ending = await mine.follow(last);
    if (followed !== id || signal.aborted) break;
    if (ending === "gone") return gone(id);
    if (ending === "refused") await look();
    live.setState({ others: [], writing: [] });
    await pause(attempt++, signal);
  }
  mine.close();
}

function gone(id: string): void {
  forgetConversation(id);
  if (chat.getState().id !== id) return;
  if (!isGivenUp(id)) {
    rescueDraft(id);
    tell("This conversation was deleted, or is not shared with you any more.");
  }
  go("");
}

// --- what is told

async function hear(event: FeedEvent): Promise<void> {
  const data = event.data ?? {};
  switch (event.type) {
    case "presence":
      return present(event);
    case "turn.began":
      return busily(() => began(data));
    case "turn.ended":
      return busily(() => ended(data));
    case "item.edited":
      return busily(() => edited(data.branch_id));
    case "response.rated":
      return data.response_id ? noteRating(data.response_id, data.rating ?? null) : undefined;
    case "items.added":
      return busily(() => changed("end"));
    case "item.deleted":
    case "reset":
      return busily(() => changed("all"));
    case "branch.deleted":
      return busily(() => branchGone(data.branch_id));
    case "conversation.updated":
      return busily(updated);
    default:
      if (event.type.startsWith("branch.")) return busily(() => changed("tree"));
  }
}

function present(event: FeedEvent): void {
  const me = session.getState().me?.id;
  const others = (event.present ?? []).filter((one) => one.user_id !== me);
  const writing = (event.typing ?? []).filter((one) => others.some((other) => other.user_id === one.user_id));
  live.setState(({ names }) => ({
    others,
    writing,
    names: { ...names, ...Object.fromEntries(others.map((one) => [one.user_id, one.name])) },
  }));
}

/** An answer that this tab did not ask for is shown where one is looking; elsewhere the tree is read. */
async function began(data: NonNullable<FeedEvent["data"]>): Promise<void> {
  const id = data.response_id;
  const signal = whileOpen();
  if (!id || !(await nothingWaits()) || signal.aborted) return;
  const now = chat.getState();
  if (now.turns[id]) return;
  if (data.branch_id !== now.branchId) {
    if (!data.activated || running().length) return changed("tree");
    await reread(data.branch_id);
    if (signal.aborted) return;
  }
  await attend(id, data.items?.[0]?.antiphon?.author_id ?? null);
}

/** Whether every question of this tab has its answer's id by now: before, nobody can say whose an answer is. */
function nothingWaits(): Promise<boolean> {
  const waits = () => Object.values(chat.getState().turns).some((turn) => turn.id.startsWith("local:") && isRunning(turn));
  if (!waits()) return Promise.resolve(true);
  return new Promise((resolve) => {
    const undo = chat.subscribe(() => !waits() && done(true));
    const timer = setTimeout(() => done(false), WAIT_MILLISECONDS);
    function done(known: boolean) {
      undo();
      clearTimeout(timer);
      resolve(known);
    }
  });
}

async function ended(data: NonNullable<FeedEvent["data"]>): Promise<void> {
  const { turns, branchId } = chat.getState();
  if (data.response_id && turns[data.response_id]) return; // whoever follows it reads on by itself
  await changed(data.branch_id === branchId ? "end" : "tree");
}

/** What of a chat changed: its tree alone, the end of the path shown, too, or whatever of that path. */
type Change = "tree" | "end" | "all";

let gathering: Set<Change> | null = null;

/** Reads what changed, once for all that comes within a moment. */
async function changed(what: Change): Promise<void> {
  if (gathering) {
    gathering.add(what);
    return;
  }
  const all = (gathering = new Set([what]));
  await new Promise((resolve) => setTimeout(resolve, GATHER_MILLISECONDS));
  gathering = null;
  // While an answer is being made its end reads all of this.
  if (running().length) return;
  if (all.has("all")) await rereadAll();
  else if (all.has("end")) await reread();
  await readTree();
}

/** Other words stand in the place of what was said, and nobody answers them. */
async function edited(branchId: string | undefined): Promise<void> {
  if (branchId && branchId !== chat.getState().branchId && !running().length) await reread(branchId);
  await changed("tree");
}

async function branchGone(branchId: string | undefined): Promise<void> {
  await readTree();
  const { branchId: shown, conversation, id } = chat.getState();
  if (branchId !== shown || !conversation) return;
  const now = await call<Conversation>(`/v1/conversations/${id}`);
  await reread(now.active_branch_id);
}

async function updated(): Promise<void> {
  const { id } = chat.getState();
  if (id === null) return;
  const read = await call<Conversation>(`/v1/conversations/${id}`);
  const shown = chat.getState();
  // A chat without a title yet shows what was asked.
  const conversation = { ...read, title: read.title ?? (shown.id === id ? (shown.conversation?.title ?? null) : null) };
  noteConversation(conversation);
  if (shown.id === id) chat.setState({ conversation });
}

// --- who is there

/** Asks for the names of a conversation's members, once, when somebody is met whom nobody named. */
export function readNames(): void {
  const { id } = chat.getState();
  if (id === null || membersOf === id) return;
  membersOf = id;
  call<Page<Member>>(`/v1/conversations/${id}/members`, { query: { limit: MOST_MEMBERS } })
    .then(({ data }) => {
      if (chat.getState().id !== id) return;
      live.setState(({ names }) => ({ names: { ...Object.fromEntries(data.map((one) => [one.id, one.name])), ...names } }));
    })
    .catch(() => undefined); // then they stay without a name
}

let saidAt = 0;

/** Says that one is writing, every few seconds while it holds, and only where somebody is there to see it. */
export function sayWriting(writing: boolean): void {
  if (!live.getState().others.length) return;
  const now = Date.now();
  if (writing ? now - saidAt < TYPING_MILLISECONDS : saidAt === 0) return;
  saidAt = writing ? now : 0;
  feed?.say(writing);
}
