/**
 * Questions of which no answer came. No branch goes through them, since a branch ends with the last answer, yet they
 * were said: one that hangs on the head of what is shown is shown after it.
 */

import { call, isMissing } from "../api/client";
import type { Branch, Item, Segment } from "../api/types";
import { endingOf, isEmptyEnding, passes, siblingsAt, turnsOf, type Turn } from "./turns";

/** Returns the newest item that follows the head of a branch and that nothing follows. */
export function hangingOn(head: Branch, segments: ReadonlyMap<string, Segment>, branches: readonly Branch[]): string | null {
  const depth = head.item_count;
  const found = siblingsAt(segments, head.head_segment_id, depth)
    .map(({ segment }) => segments.get(segment)!)
    .filter((one) => one.fork_depth + one.item_count === depth && one.last_item?.role === "user")
    .filter((one) => !branches.some((branch) => passes(segments, branch, one.id, depth)));
  return found.at(-1)?.last_item?.id ?? null;
}

/** Whether a path ends at a branch's head. */
export function endsAt(path: readonly string[], turns: Readonly<Record<string, Turn>>, { head_item_id: head }: Branch): boolean {
  if (!path.length) return head === null;
  const last = turns[path.at(-1)!]?.items.at(-1)?.id;
  const bare = (id: string) => id.slice(id.indexOf("_")); // a branch names every kind of item alike
  return last !== undefined && head !== null && bare(last) === bare(head);
}

/** Leaves out of a path what is shown after the head: the next question stands in its place. */
export function withoutUnanswered(path: string[], turns: Readonly<Record<string, Turn>>, head: Branch | undefined): string[] {
  if (!head || !isEmptyEnding(turns[path.at(-1) ?? ""])) return path;
  return [path.slice(0, -1), path.slice(0, -2)].find((one) => endsAt(one, turns, head)) ?? path;
}

/** Returns a question that nothing follows, and how its answer ended; nothing where it was taken away, or is being answered. */
export async function readUnanswered(conversationId: string, itemId: string): Promise<Turn[]> {
  try {
    const item = await call<Item>(`/v1/conversations/${conversationId}/items/${itemId}`, { query: { include: "antiphon" } });
    const [said] = turnsOf([item]);
    const ending = endingOf(said, true);
    return said && ending ? [said, ending] : [];
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
