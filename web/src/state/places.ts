/**
 * Places in the tree: a segment and a depth. Going to one makes a branch that passes it the active one, and brings
 * its message onto the screen; a viewer, who may change nothing, only looks.
 */

import { call, newKey } from "../api/client";
import type { Branch, Conversation, Item, Page, Segment } from "../api/types";
import { busily, chat, newBranch, readEarlier, readTree, reread, showToAll, shownTurns, type Chat } from "./chat";
import { noteConversation } from "./conversations";
import { keepingPlace, untilItStays } from "./keeping";
import { createStore, useStore } from "./store";
import { passes, turnAt, type Turn } from "./turns";

export interface PlaceOf {
  segment: string;
  depth: number;
}

export interface Preview {
  id: string;
  type: string;
  role: string | null;
  text: string;
}

const PAGE = 100;
const MOST_PAGES = 10;
const MOST_EARLIER = 60;
const SHOWN_MILLISECONDS = 2000;
const PREVIEW = 160;

export function keyOf(place: PlaceOf): string {
  return `${place.segment}:${place.depth}`;
}

/** Where a segment's last item stands. */
export function endOf(segment: Segment): number {
  return segment.fork_depth + segment.item_count;
}

/** Returns for each segment on a branch's path the depth up to which the path holds it. */
export function pathOf(segments: ReadonlyMap<string, Segment>, branch: Branch | undefined): Map<string, number> {
  const path = new Map<string, number>();
  let at = branch?.head_segment_id ?? null;
  let last = (branch?.item_count ?? 0) - 1;
  while (at !== null && !path.has(at)) {
    path.set(at, last);
    const line = segments.get(at);
    if (!line) break;
    last = Math.min(last, line.fork_depth);
    at = line.parent_segment_id;
  }
  return path;
}

/** The branch whose path is shown now. */
export function shownBranch(state: Chat): Branch | undefined {
  return state.branches.find((one) => one.id === state.branchId);
}

function branchThrough(state: Chat, place: PlaceOf): Branch | undefined {
  const found = state.branches.filter(
    (one) => !one.alias_of && passes(state.segments, one, place.segment, place.depth),
  );
  return found.find((one) => one.id === state.branchId) ?? found.at(-1);
}

// --- what stands where

/** First words of what is known of the open conversation's tree, by place. */
export const previews = createStore<{ of: string | null; known: ReadonlyMap<string, Preview> }>(() => ({
  of: null,
  known: new Map(),
}));

export function usePreviews(): ReadonlyMap<string, Preview> {
  return useStore(previews, (state) => state.known);
}

function note(found: Map<string, Preview>): void {
  if (!found.size) return;
  previews.setState(({ known }) => ({ known: new Map([...known, ...found]) }));
}

/** Takes over what the tree itself and the turns on the screen tell. */
export function noteKnown(state: Chat): void {
  if (previews.getState().of !== state.id) {
    previews.setState({ of: state.id, known: new Map() });
    tried.clear();
  }
  const known = previews.getState().known;
  const found = new Map<string, Preview>();
  for (const segment of state.segments.values()) {
    const ends: [Segment["first_item"], number][] = [
      [segment.first_item, segment.fork_depth + 1],
      [segment.last_item, endOf(segment)],
    ];
    for (const [item, depth] of ends) {
      const key = keyOf({ segment: segment.id, depth });
      if (item && !known.has(key)) found.set(key, { id: item.id, type: item.type, role: item.role, text: item.preview });
    }
  }
  note(found);
}

const tried = new Set<string>();
let reading: Promise<void> = Promise.resolve();

/** Reads the first words of a segment's items, once, one segment after the other. */
export function readPreviews(segmentId: string): void {
  const { id } = chat.getState();
  if (id === null || tried.has(segmentId)) return;
  tried.add(segmentId);
  reading = reading.then(() => readSegment(id, segmentId)).catch(() => undefined);
}

async function readSegment(conversationId: string, segmentId: string): Promise<void> {
  const state = chat.getState();
  const segment = state.segments.get(segmentId);
  if (state.id !== conversationId || !segment || segment.item_count < 3) return;
  const branch = branchThrough(state, { segment: segmentId, depth: endOf(segment) });
  if (!branch) return;
  let after = segment.first_item?.id;
  for (let count = 0; count < MOST_PAGES && after; count++) {
    const query = { branch: branch.id, order: "asc", after, limit: PAGE, include: "antiphon" };
    const page: Page<Item> = await call<Page<Item>>(`/v1/conversations/${conversationId}/items`, { query });
    if (previews.getState().of !== conversationId) return;
    note(new Map(page.data.flatMap(previewOf)));
    if (!page.has_more || page.data.some((item) => item.antiphon?.segment_id !== segmentId)) return;
    after = page.data.at(-1)?.id;
  }
}

function previewOf(item: Item): [string, Preview][] {
  const place = item.antiphon;
  if (!place) return [];
  const text = (item.content ?? []).map((part) => part.text ?? part.refusal ?? "").join(" ");
  const short = (text || item.name || "").slice(0, 2 * PREVIEW).replace(/\s+/g, " ").trim().slice(0, PREVIEW);
  const key = keyOf({ segment: place.segment_id, depth: place.depth });
  return [[key, { id: item.id, type: item.type, role: item.role ?? null, text: short }]];
}

// --- going there

/** Shows the path through a place, and the message that stands there. */
export function goToPlace(place: PlaceOf): Promise<void> {
  return busily(() => toPlace(place));
}

async function toPlace(place: PlaceOf): Promise<void> {
  const state = chat.getState();
  const branch = branchThrough(state, place);
  if (branch && branch.id === state.branchId) return reveal(place);
  if (branch) return toBranch(branch.id, place);
  const last = state.segments.get(place.segment)?.last_item?.id;
  if (!last || state.id === null) return;
  await shown(await newBranch(last), place);
}

/** Makes a branch the one that is shown, for everybody where one may. */
export function goToBranch(branchId: string, place?: PlaceOf): Promise<void> {
  return busily(() => toBranch(branchId, place));
}

async function toBranch(branchId: string, place?: PlaceOf): Promise<void> {
  await showToAll(branchId);
  await shown(branchId, place);
}

async function shown(branchId: string, place?: PlaceOf): Promise<void> {
  await reread(branchId);
  await readTree();
  if (place) await reveal(place);
}

async function reveal({ segment, depth }: PlaceOf): Promise<void> {
  await revealTurn((state) => turnAt(shownTurns(state), segment, depth));
}

/** Brings the message with an item onto the screen; false if it is not on the path shown. */
export function revealItem(itemId: string): Promise<boolean> {
  return revealTurn((state) => shownTurns(state).find((turn) => turn.items.some((item) => item.id === itemId)));
}

async function revealTurn(find: (state: Chat) => Turn | undefined): Promise<boolean> {
  for (let count = 0; !find(chat.getState()) && chat.getState().hasEarlier && count < MOST_EARLIER; count++) {
    await readEarlier();
  }
  const turn = find(chat.getState());
  if (!turn) return false;
  return keepingPlace(() => bringIntoView(turn.id));
}

async function bringIntoView(turnId: string): Promise<boolean> {
  const shown = await untilItStays(turnId, (message) => message.scrollIntoView({ block: "center" }));
  shown?.classList.add("shown-place");
  setTimeout(() => shown?.classList.remove("shown-place"), SHOWN_MILLISECONDS);
  return shown !== null;
}

// --- what one does with branches

function branchesPath(): string {
  return `/v1/conversations/${chat.getState().id}/branches`;
}

export async function nameBranch(branchId: string, name: string): Promise<void> {
  await call<Branch>(`${branchesPath()}/${branchId}`, { body: { name } });
  await readTree();
}

export async function deleteBranch(branchId: string): Promise<void> {
  await call(`${branchesPath()}/${branchId}`, { method: "DELETE" });
  await readTree();
}

/** Makes a branch that ends at an item, without going there. */
export async function branchFrom(itemId: string, name: string): Promise<void> {
  await call<Branch>(branchesPath(), { body: { item_id: itemId, name }, idempotencyKey: newKey() });
  await readTree();
}

/** A new conversation that begins with everything up to an item. */
export async function forkAt(itemId: string | null): Promise<Conversation> {
  const { id, conversation } = chat.getState();
  const title = conversation?.title ? `${conversation.title.slice(0, 480)} (fork)` : undefined;
  const body = { ...(itemId ? { item_id: itemId } : {}), ...(title ? { title } : {}) };
  const made = await call<Conversation>(`/v1/conversations/${id}/fork`, { body, idempotencyKey: newKey() });
  noteConversation(made);
  return made;
}
