/**
 * The open conversation: its path from the root to a head as turns, what stands beside each, and the answers
 * that are being made. It mirrors the server's tree and holds a window of it.
 */

import { call, isMissing, messageOf, newKey } from "../api/client";
import { persist } from "../api/stream";
import type { Branch, Conversation, Item, Page, Segment } from "../api/types";
import { forgetConversation, noteConversation } from "./conversations";
import { createStore, useStore } from "./store";
import { endingOf, isRunning, onto, passes, siblingsAt, turnAt, turnsOf, type Turn } from "./turns";
import { endsAt, hangingOn, readUnanswered, withoutUnanswered } from "./unanswered";

const WINDOW = 60;
/** So many windows are read for what was shown before to stay, and so many for a turn that one goes to. */
const MOST_TO_MEET = 5;
const MOST_TO_REACH = 60;
const SEGMENTS = 100;
const MOST_SEGMENT_PAGES = 20;
const MOST_BRANCH_PAGES = 5;

export interface Chat {
  /** Counts what was opened: another number is another chat, also where a new one has got its id. */
  opening: number;
  /** Null is a chat that has not begun. */
  id: string | null;
  conversation: Conversation | null;
  state: "reading" | "read" | "failed";
  problem: string | null;
  turns: Record<string, Turn>;
  /** Ids of the turns shown, root first; the oldest may have more before it. */
  path: string[];
  /** For a turn on the path: everything that follows the same place, itself included, oldest first. */
  beside: Record<string, string[]>;
  hasEarlier: boolean;
  branchId: string | null;
  segments: ReadonlyMap<string, Segment>;
  branches: Branch[];
  /** The answers that are shown side by side, by the turn they follow. */
  fans: Record<string, string[]>;
  /** How much is going on: opening, answering, reading what came of it. */
  busy: number;
}

const NEW: Chat = {
  opening: 0,
  id: null,
  conversation: null,
  state: "read",
  problem: null,
  turns: {},
  path: [],
  beside: {},
  hasEarlier: false,
  branchId: null,
  segments: new Map(),
  branches: [],
  fans: {},
  busy: 0,
};

export const chat = createStore<Chat>(() => NEW);

export function useChat<T>(select: (chat: Chat) => T): T {
  return useStore(chat, select);
}

/** Whether one may only read here what another person shared. */
export function isViewer({ conversation }: Chat): boolean {
  return conversation?.antiphon?.role === "viewer";
}

export function useTurn(id: string): Turn | undefined {
  return useStore(chat, (state) => state.turns[id]);
}

/** The answers being made anywhere in the open conversation. */
export function running(state: Chat = chat.getState()): Turn[] {
  return Object.values(state.turns).filter(isRunning);
}

/** Counts some work as going on in the open conversation until it is done. */
export async function busily<T>(work: () => Promise<T>): Promise<T> {
  const mine = opening;
  chat.setState(({ busy }) => ({ busy: busy + 1 }));
  try {
    return await work();
  } finally {
    if (mine === opening) chat.setState(({ busy }) => ({ busy: busy - 1 }));
  }
}

/** Counts openings: what was read for an earlier one is dropped. */
let opening = 0;
let ending = new AbortController();

/** Aborted when another conversation is opened; streams end with it, answers do not. */
export function whileOpen(): AbortSignal {
  return ending.signal;
}

function leave(): number {
  ending.abort();
  ending = new AbortController();
  return ++opening;
}

export function openNew(): void {
  chat.setState({ ...NEW, opening: leave() }, true);
}

/** Gives the new chat on the screen its id, and keeps everything else. */
export function adopt(conversation: Conversation): void {
  chat.setState({ id: conversation.id, conversation, branchId: conversation.active_branch_id });
  noteConversation(conversation);
}

/** Shows a conversation: the newest turns at once, then what stands beside them. */
export async function open(id: string): Promise<void> {
  if (chat.getState().id === id && chat.getState().state !== "failed") return;
  const mine = leave();
  chat.setState({ ...NEW, opening: mine, id, state: "reading" }, true);
  await busily(() => read(id, mine));
}

/** Opens once more, at once, what could not be shown. */
export function openAgain(): void {
  const { id } = chat.getState();
  if (id !== null) void open(id);
}

async function read(id: string, mine: number): Promise<void> {
  const signal = whileOpen();
  const failed = (error: unknown) => {
    if (mine === opening) chat.setState({ state: "failed", problem: messageOf(error) });
  };
  const both = () => Promise.all([call<Conversation>(`/v1/conversations/${id}`), readItems(id, null, null)]);
  try {
    const [conversation, items] = await persist(both, signal, (lost, why) => lost && failed(why));
    if (mine !== opening) return;
    show(conversation, items, conversation.active_branch_id);
    noteConversation(conversation);
    await persist(readTree, signal);
  } catch (error) {
    if (isMissing(error)) forgetConversation(id);
    return failed(error);
  }
  if (mine === opening) opened.forEach((tell) => tell(chat.getState()));
}

const opened = new Set<(chat: Chat) => void>();

/** Called when a conversation was opened and its tree is known. Returns what undoes it. */
export function onOpened(listener: (chat: Chat) => void): () => void {
  opened.add(listener);
  return () => opened.delete(listener);
}

function readItems(id: string, after: string | null, branch: string | null): Promise<Page<Item>> {
  const query = { limit: WINDOW, order: "desc", include: "antiphon", after, branch };
  return call<Page<Item>>(`/v1/conversations/${id}/items`, { query });
}

/** Shows the newest items of a path; of what was shown, that which is before them stays. */
function show(conversation: Conversation | null, page: Page<Item>, branchId: string | null): void {
  const newest = turnsIn(page);
  const ending = endingOf(newest.at(-1));
  if (ending) newest.push(ending);
  chat.setState((now) => {
    const whole = page.has_more ? onto(shownTurns(now), newest) : null;
    const turns = whole ?? newest;
    const fanned = new Set(Object.values(now.fans).flat());
    const live = Object.fromEntries(Object.entries(now.turns).filter(([id, turn]) => fanned.has(id) || isRunning(turn)));
    return {
      conversation: conversation ?? now.conversation,
      state: "read",
      problem: null,
      turns: { ...live, ...Object.fromEntries(turns.map((turn) => [turn.id, turn])) },
      path: turns.map((turn) => turn.id),
      beside: {},
      hasEarlier: whole ? now.hasEarlier : page.has_more,
      branchId,
    };
  });
  placeSiblings();
}

function turnsIn(page: Page<Item>): Turn[] {
  return turnsOf([...page.data].reverse());
}

/** The turns of the path shown, root first. */
export function shownTurns({ path, turns }: Chat = chat.getState()): Turn[] {
  return path.flatMap((id) => turns[id] ?? []);
}

type Enough = (turns: Turn[]) => boolean;

/**
 * Reads the path of a branch anew, e.g. after an answer has ended or another branch was chosen: its newest items, and
 * those before them until it is `enough`. What was shown before all these stays, if it is of this path.
 */
export async function reread(branchId: string | null = chat.getState().branchId, enough?: Enough): Promise<void> {
  const { id, branchId: shown, path } = chat.getState();
  if (id === null) return;
  const mine = opening;
  const most = enough ? MOST_TO_REACH : branchId === shown && path.length ? MOST_TO_MEET : 1;
  const page = await readItems(id, null, branchId);
  for (let count = 1; mine === opening && page.has_more && count < most; count++) {
    if ((enough ?? meets)(turnsIn(page))) break;
    const { data, has_more } = await readItems(id, page.data.at(-1)!.id, branchId);
    page.data.push(...data);
    page.has_more = has_more;
  }
  if (mine === opening) show(null, page, branchId);
}

/** Whether what is shown goes on with these turns, or begins with them. */
function meets([first]: Turn[]): boolean {
  return first !== undefined && chat.getState().path.includes(first.id);
}

/** Reads all that is shown anew, where something may have changed anywhere. */
export function rereadAll(): Promise<void> {
  const from = firstDepth();
  return reread(undefined, ([first]) => first !== undefined && first.depth <= from);
}

function firstDepth(): number {
  const { hasEarlier } = chat.getState();
  return hasEarlier ? (shownTurns()[0]?.depth ?? 0) : 0;
}

/** Reads the turns before the oldest one shown; `before` is told when they are about to be shown. */
export async function readEarlier(before?: () => void): Promise<void> {
  const { id, branchId, hasEarlier } = chat.getState();
  const oldest = shownTurns()[0]?.items[0]?.id;
  if (!hasEarlier || id === null || !oldest) return;
  const mine = opening;
  const page = await readItems(id, oldest, branchId);
  if (mine !== opening || shownTurns()[0]?.items[0]?.id !== oldest) return;
  before?.();
  chat.setState((now) => {
    const earlier = turnsIn(page);
    const first = now.turns[now.path[0] ?? ""];
    const last = earlier.at(-1);
    if (first && last && last.id === first.id) {
      // A page ended within an answer: its two halves are one turn.
      const whole = { ...first, ...last, items: [...last.items, ...first.items] };
      earlier[earlier.length - 1] = whole;
    }
    const ids = earlier.map((turn) => turn.id);
    return {
      turns: { ...now.turns, ...Object.fromEntries(earlier.map((turn) => [turn.id, turn])) },
      path: [...ids, ...now.path.filter((one) => !ids.includes(one))],
      hasEarlier: page.has_more,
    };
  });
  placeSiblings();
}

/** Reads segments and branches, and puts siblings beside the turns shown. */
export async function readTree(): Promise<void> {
  const { id } = chat.getState();
  if (id === null) return;
  const mine = opening;
  const [segments, branches] = await Promise.all([
    pages<Segment>(`/v1/conversations/${id}/tree`, SEGMENTS, MOST_SEGMENT_PAGES),
    pages<Branch>(`/v1/conversations/${id}/branches`, SEGMENTS, MOST_BRANCH_PAGES),
  ]);
  if (mine !== opening) return;
  chat.setState({ segments: new Map(segments.map((one) => [one.id, one])), branches });
  placeSiblings();
  await showUnanswered(mine);
}

/** Shows the question that hangs on the head, if the head is what is shown last and nothing is being answered. */
async function showUnanswered(mine: number): Promise<void> {
  const state = chat.getState();
  const head = state.branches.find((one) => one.id === state.branchId);
  if (!head || head.running_response_id || running().length || !endsAt(state.path, state.turns, head)) return;
  const itemId = hangingOn(head, state.segments, state.branches);
  const found = itemId ? await readUnanswered(state.id!, itemId) : [];
  if (!found.length || mine !== opening || running().length || chat.getState().path !== state.path) return;
  chat.setState(({ turns, path }) => ({
    turns: { ...turns, ...Object.fromEntries(found.map((turn) => [turn.id, turn])) },
    path: [...path, ...found.map((turn) => turn.id)],
  }));
  placeSiblings();
}

/** Returns the turns shown that the next question follows. */
export function standing({ path, turns, branches, branchId }: Chat = chat.getState()): string[] {
  return withoutUnanswered(path, turns, branches.find((one) => one.id === branchId));
}

async function pages<T extends { id: string }>(path: string, limit: number, most: number): Promise<T[]> {
  const found: T[] = [];
  for (let count = 0; count < most; count++) {
    const page = await call<Page<T>>(path, { query: { limit, after: found.at(-1)?.id } });
    found.push(...page.data);
    if (!page.has_more) break;
  }
  return found;
}

function placeSiblings(): void {
  chat.setState((now) => {
    const turns = located(now);
    const known = new Map<string, string>();
    for (const turn of Object.values(turns)) {
      if (turn.segment && !turn.stub) known.set(`${turn.segment}:${turn.depth}`, turn.id);
    }
    const beside: Record<string, string[]> = {};
    for (const id of now.path) {
      const turn = turns[id];
      if (!turn?.segment) {
        const others = now.beside[id];
        if (others) beside[id] = others;
        continue;
      }
      const found = siblingsAt(now.segments, turn.segment, turn.depth);
      if (found.length < 2) continue;
      beside[id] = found.map(({ segment, depth }) => {
        const place = `${segment}:${depth}`;
        if (segment === turn.segment && depth === turn.depth) return id;
        const there = known.get(place);
        if (there) return there;
        const stub = `stub:${place}`;
        turns[stub] ??= { ...turn, id: stub, items: [], segment, depth, stub: true, model: null };
        return stub;
      });
      if (!beside[id].includes(id)) beside[id].push(id);
    }
    return { turns, beside };
  });
}

/** Returns the turns, those that were streamed with the places that the tree knows by now. */
function located(now: Chat): Record<string, Turn> {
  const turns = { ...now.turns };
  const firsts = new Map<string, Segment>();
  for (const segment of now.segments.values()) {
    if (segment.first_item) firsts.set(segment.first_item.id, segment);
  }
  for (const [id, turn] of Object.entries(turns)) {
    const segment = turn.segment ? undefined : firsts.get(turn.items[0]?.id ?? "");
    if (segment) turns[id] = { ...turn, segment: segment.id, depth: segment.fork_depth + 1 };
  }
  return turns;
}

/**
 * Goes to another turn of the same place: makes a branch that shows it the active one, and reads that back to there.
 * Returns the id by which the turn is shown.
 */
export function goTo(turnId: string): Promise<string | null> {
  return busily(() => activate(turnId));
}

/** Makes a branch the active one, for everybody; a viewer, who may change nothing, only looks at it. */
export async function showToAll(branchId: string): Promise<void> {
  const state = chat.getState();
  if (isViewer(state)) return;
  await call<Branch>(`/v1/conversations/${state.id}/branches/${branchId}/activate`, { method: "PUT" });
}

/** Returns the id of a new active branch that ends with an item. */
export async function newBranch(itemId: string): Promise<string> {
  const state = chat.getState();
  if (isViewer(state)) throw new Error("No branch shows this any more. Fork the conversation to see it.");
  const body = { item_id: itemId, activate: true };
  return (await call<Branch>(`/v1/conversations/${state.id}/branches`, { body, idempotencyKey: newKey() })).id;
}

async function activate(turnId: string): Promise<string | null> {
  const { id, turns, segments, branches, branchId } = chat.getState();
  const turn = turns[turnId];
  if (id === null || !turn?.segment) return null;
  const { segment, depth } = turn;
  const shows = branches.filter((one) => passes(segments, one, segment, depth));
  const found = shows.find((one) => one.id === branchId) ?? shows.at(-1);
  if (found) await showToAll(found.id);
  const wanted = found?.id ?? (await newBranch(segments.get(segment)?.last_item?.id ?? turn.items.at(-1)!.id));
  const isFirst = firstDepth() >= depth;
  await reread(wanted, (read) => turnAt(read, segment, depth) !== undefined && (isFirst || meets(read)));
  await readTree();
  return turnAt(shownTurns(), segment, depth)?.id ?? null;
}
