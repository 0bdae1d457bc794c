/**
 * What stands in a conversation as the page shows it: turns. A turn is what one person said, or everything one
 * model answered to it (reasoning, calls, searches, text). Pure functions; `chat.ts` keeps them.
 */

import type { Answered, Branch, Item, Rating, RunEvent, RunState, Segment, Usage } from "../api/types";

export interface Turn {
  /** A response's id for an answer, an item's for what was said, `local:…` until the server has it. */
  id: string;
  role: "user" | "assistant" | "system";
  items: Item[];
  at: number;
  model: string | null;
  status: RunState;
  error: { code: string; message: string } | null;
  usage: Usage | null;
  authorId: string | null;
  /** Where its first item stands; unknown while it is being made. */
  segment: string | null;
  depth: number;
  /** A sibling that was not read: shown as a number in ‹ 2/3 › until one goes there. */
  stub: boolean;
  /** Its stream is interrupted and being resumed. */
  lost: boolean;
  /** It is the rest of the answer before it, which was cut off. */
  continues: boolean;
  /** What somebody thought of it. */
  rating: Rating | null;
}

export const ENDED: ReadonlySet<RunState> = new Set(["completed", "incomplete", "failed", "cancelled"]);

export function isRunning(turn: Turn): boolean {
  return turn.role === "assistant" && !ENDED.has(turn.status);
}

/** Returns the turn that holds what stands at (segment, depth). */
export function turnAt(turns: readonly Turn[], segment: string, depth: number): Turn | undefined {
  return turns.find((turn) => turn.segment === segment && turn.depth <= depth && depth < turn.depth + turn.items.length);
}

/** Whether it is an answer that ended without a word. */
export function isEmptyEnding(turn: Turn | undefined): boolean {
  return turn?.role === "assistant" && !turn.stub && !turn.items.length && ENDED.has(turn.status);
}

export function emptyTurn(id: string, role: Turn["role"], given: Partial<Turn> = {}): Turn {
  return {
    id,
    role,
    items: [],
    at: Date.now() / 1000,
    model: null,
    status: "completed",
    error: null,
    usage: null,
    authorId: null,
    segment: null,
    depth: -1,
    stub: false,
    lost: false,
    continues: false,
    rating: null,
    ...given,
  };
}

/** Groups a path's items, root first, into turns. */
export function turnsOf(items: readonly Item[]): Turn[] {
  const turns: Turn[] = [];
  for (const item of items) {
    const place = item.antiphon;
    // Who reads by a link is told of no author, and of an answer only where it is the rest of the one before.
    const answered = place && !place.author_id ? place.response : null;
    const before = turns.at(-1);
    const continues = answered ? before?.id === answered.id : item.type === "function_call_output";
    if (before && continues && before.role === "assistant") {
      before.items.push(item);
      continue;
    }
    turns.push({
      ...emptyTurn(answered?.id ?? item.id, answered ? "assistant" : roleOf(item)),
      items: [item],
      at: place?.created_at ?? 0,
      authorId: place?.author_id ?? null,
      segment: place?.segment_id ?? null,
      depth: place?.depth ?? -1,
      ...(answered ? summary(answered) : {}),
    });
  }
  return turns;
}

/**
 * Returns a path whose newest turns were read anew: what was shown before them stays. Null where the two do not meet.
 * The newest may begin within an answer, since they are read by items.
 */
export function onto(shown: readonly Turn[], newest: readonly Turn[]): Turn[] | null {
  const [first, ...rest] = newest;
  const at = shown.findIndex((turn) => turn.id === first?.id);
  const known = shown[at];
  if (!first || !known) return null;
  const begun = known.items.slice(0, Math.max(known.items.findIndex((item) => item.id === first.items[0]?.id), 0));
  const { segment, depth } = known.segment ? known : { segment: first.segment, depth: first.depth - begun.length };
  return [...shown.slice(0, at), { ...first, segment, depth, items: [...begun, ...first.items] }, ...rest];
}

function summary(answered: Answered): Partial<Turn> {
  const { model, status, error, usage, continues = false, rating = null } = answered;
  return { model, status, error, usage, continues, rating };
}

/**
 * Returns the answer that a question got, where that ended without a word. One that completed has words, which may
 * stand elsewhere, unless it is known that nothing follows the question.
 */
export function endingOf(said: Turn | undefined, nothingFollows = false): Turn | null {
  const answered = said?.role === "user" ? said.items.at(-1)?.antiphon?.response : null;
  if (!said || !answered || !ENDED.has(answered.status)) return null;
  if (answered.status === "completed" && !nothingFollows) return null;
  return emptyTurn(answered.id, "assistant", { at: said.at, ...summary(answered) });
}

function roleOf(item: Item): Turn["role"] {
  if (item.role === "system" || item.role === "developer") return "system";
  if (item.role === "user" || item.type === "function_call_output") return "user";
  return "assistant";
}

/** Returns the message in which an answer has its words, if it has any. */
export function answerIn(turn: Turn | undefined): Item | undefined {
  return turn?.role === "assistant" ? turn.items.find((item) => item.type === "message") : undefined;
}

/** Returns a turn's readable text. */
export function textOf(turn: Turn): string {
  return turn.items
    .filter((item) => item.type === "message")
    .flatMap((item) => item.content ?? [])
    .filter((part) => !part.antiphon)
    .map((part) => part.text ?? part.refusal ?? "")
    .filter(Boolean)
    .join("\n\n");
}

// --- an answer as its events make it

/** Returns an answer after one more event; every object that changes is a new one. */
export function after(turn: Turn, event: RunEvent): Turn {
  const response = event.response;
  if (response) {
    const ended = ENDED.has(response.status);
    return {
      ...turn,
      id: response.id,
      at: response.created_at,
      model: response.model,
      status: response.status,
      error: response.error,
      usage: response.usage,
      continues: response.antiphon?.continues ?? false,
      items: ended ? response.output : turn.items,
    };
  }
  const index = event.output_index;
  if (index === undefined) return turn;
  if (event.item) return { ...turn, items: put(turn.items, index, event.item) };
  const item = turn.items[index];
  if (!item) return turn;
  const changed = itemAfter(item, event);
  return changed === item ? turn : { ...turn, items: put(turn.items, index, changed) };
}

function put<T>(list: readonly T[], index: number, value: T): T[] {
  const copy = [...list];
  copy[index] = value;
  return copy;
}

function itemAfter(item: Item, event: RunEvent): Item {
  const delta = event.delta ?? "";
  const at = event.content_index ?? 0;
  const content = item.content ?? [];
  const part = content[at];
  switch (event.type) {
    case "response.content_part.added":
    case "response.content_part.done":
      return { ...item, content: put(content, at, event.part!) };
    case "response.output_text.delta":
    case "response.reasoning_text.delta": {
      const known = part ?? { type: "output_text", annotations: [] };
      return { ...item, content: put(content, at, { ...known, text: (known.text ?? "") + delta }) };
    }
    case "response.refusal.delta":
      return { ...item, content: put(content, at, { type: "refusal", refusal: (part?.refusal ?? "") + delta }) };
    case "response.output_text.annotation.added": {
      if (!part) return item;
      const annotations = put(part.annotations ?? [], event.annotation_index!, event.annotation!);
      return { ...item, content: put(content, at, { ...part, annotations }) };
    }
    case "response.function_call_arguments.delta":
      return { ...item, arguments: (item.arguments ?? "") + delta };
    case "response.reasoning_summary_text.delta": {
      const index = event.summary_index ?? 0;
      const known = item.summary?.[index] ?? { type: "summary_text", text: "" };
      return { ...item, summary: put(item.summary ?? [], index, { ...known, text: known.text + delta }) };
    }
    case "response.file_search_call.in_progress":
    case "response.file_search_call.searching":
      return { ...item, status: "searching" };
    case "response.file_search_call.completed":
      return { ...item, status: "completed" };
    default:
      return item;
  }
}

// --- siblings, from the tree's segments

export interface Sibling {
  segment: string;
  depth: number;
  /** Its first item, where the tree says which. */
  itemId: string | null;
}

/** Returns the segment in which the item at a depth of a segment's path really lies; null before the first item. */
function holder(segments: ReadonlyMap<string, Segment>, segment: string | null, depth: number): string | null {
  if (depth < 0) return null;
  let at = segment;
  for (let line = at && segments.get(at); line && depth <= line.fork_depth; line = at && segments.get(at)) {
    at = line.parent_segment_id;
  }
  return at;
}

/** Returns everything that follows the same place as (segment, depth), that itself included, oldest first. */
export function siblingsAt(segments: ReadonlyMap<string, Segment>, segment: string, depth: number): Sibling[] {
  const before = holder(segments, segment, depth - 1);
  const found: Sibling[] = [];
  if (before !== null) {
    const line = segments.get(before);
    const goesOn = line ? line.fork_depth + line.item_count >= depth : before === segment;
    if (goesOn) found.push({ segment: before, depth, itemId: null });
  }
  for (const one of segments.values()) {
    if (one.fork_depth !== depth - 1 || !one.first_item) continue;
    if (holder(segments, one.parent_segment_id, depth - 1) !== before) continue;
    found.push({ segment: one.id, depth, itemId: one.first_item.id });
  }
  return found;
}

/** Whether the path that ends at a branch's head holds the item at (segment, depth). */
export function passes(
  segments: ReadonlyMap<string, Segment>,
  branch: Branch,
  segment: string,
  depth: number,
): boolean {
  let at: string | null = branch.head_segment_id;
  let last = branch.item_count - 1;
  while (at !== null && last >= depth) {
    if (at === segment) return true;
    const line = segments.get(at);
    if (!line) return false;
    last = Math.min(last, line.fork_depth);
    at = line.parent_segment_id;
  }
  return false;
}
