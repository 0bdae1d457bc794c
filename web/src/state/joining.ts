/** Answers that go on with the one before them: several of the server's, one to who reads. Pure functions. */

import type { Item, Part } from "../api/types";
import type { Turn } from "./turns";

/** Returns the turns that go on with the one at a place of a path, in their order. */
export function restOf(path: readonly string[], turns: Readonly<Record<string, Turn>>, id: string): Turn[] {
  const found: Turn[] = [];
  for (let at = path.indexOf(id) + 1; at > 0 && at < path.length; at++) {
    const turn = turns[path[at]!];
    if (!turn?.continues || turn.role !== "assistant") break;
    found.push(turn);
  }
  return found;
}

/** Whether a turn is shown as the rest of the one before it. */
export function isRest(path: readonly string[], turns: Readonly<Record<string, Turn>>, id: string): boolean {
  const before = turns[path[path.indexOf(id) - 1] ?? ""];
  return turns[id]?.continues === true && before?.role === "assistant" && !before.stub;
}

/** Returns an answer and all that goes on with it as one, which stands and ends as the last of them does. */
export function whole(turns: readonly Turn[]): Turn {
  return turns.reduce((sofar, next) => ({
    ...next,
    items: joined(sofar.items, next.items),
    usage: sofar.usage && next.usage && {
      input_tokens: sofar.usage.input_tokens + next.usage.input_tokens,
      output_tokens: sofar.usage.output_tokens + next.usage.output_tokens,
    },
  }));
}

/** Returns turns with every answer as one that others go on with. */
export function wholes(turns: readonly Turn[]): Turn[] {
  const found: Turn[] = [];
  for (const turn of turns) {
    const before = found.at(-1);
    if (turn.continues && before?.role === "assistant") found[found.length - 1] = whole([before, turn]);
    else found.push(turn);
  }
  return found;
}

/** The first message of `rest` goes on in the last one of `items`, in the middle of a word if need be. */
function joined(items: readonly Item[], rest: readonly Item[]): Item[] {
  const last = items.at(-1);
  const at = rest.findIndex((item) => item.type === "message");
  if (last?.type !== "message" || at < 0) return [...items, ...rest];
  const between = rest.slice(0, at); // thoughts about how to go on
  const message = { ...rest[at]!, content: glued(last.content ?? [], rest[at]!.content ?? []) };
  return [...items.slice(0, -1), ...between, message, ...rest.slice(at + 1)];
}

function glued(parts: readonly Part[], rest: readonly Part[]): Part[] {
  const last = parts.at(-1);
  const first = rest[0];
  if (last?.text === undefined || first?.text === undefined) return [...parts, ...rest];
  const before = Array.from(last.text).length; // citations count code points
  const moved = (first.annotations ?? []).map((one) => ({ ...one, index: one.index + before }));
  const annotations = [...(last.annotations ?? []), ...moved];
  return [...parts.slice(0, -1), { ...last, text: last.text + first.text, annotations }, ...rest.slice(1)];
}
