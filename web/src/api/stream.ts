/** Server-sent events over `fetch`, and answers that are followed through lost connections and restarts. */

import { ApiError, send, type Asked } from "./client";
import type { RunEvent } from "./types";

export interface SentEvent {
  event: string;
  data: string;
  id: string | null;
}

const GATHER_MILLISECONDS = 25;

/** Yields what each read of a body completes: the texts that end with `mark`. */
export async function* piecesOf(response: globalThis.Response, mark: string): AsyncGenerator<string[]> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const pieces = (rest + decoder.decode(value, { stream: true })).split(mark);
      rest = pieces.pop()!;
      yield pieces;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** Yields the events of a body; comments are passed over. What comes within a moment is read at once. */
export async function* eventsOf(response: globalThis.Response): AsyncGenerator<SentEvent> {
  for await (const blocks of piecesOf(response, "\n\n")) {
    for (const block of blocks) {
      const found = parsed(block);
      if (found) yield found;
    }
    // A hidden page has slow timers, and nobody whom reading would disturb.
    if (!document.hidden) await new Promise((resolve) => setTimeout(resolve, GATHER_MILLISECONDS));
  }
}

function parsed(block: string): SentEvent | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("data:")) data.push(line.slice(line[5] === " " ? 6 : 5));
    else if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("id:")) id = line.slice(3).trim();
  }
  return data.length ? { event, data: data.join("\n"), id } : null;
}

const ENDS = new Set(["response.completed", "response.failed", "response.incomplete"]);

export function isEnd(event: RunEvent): boolean {
  return ENDS.has(event.type);
}

/** Waits longer after each failure, up to five seconds, and not at all when the network comes back. */
export function pause(attempt: number, signal: AbortSignal): Promise<void> {
  const milliseconds = Math.min(250 * 2 ** attempt, 5000) * (0.75 + Math.random() / 2);
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    }
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });
}

/** Does something again and again until the server is there to do it; what it refuses is thrown. */
export async function persist<T>(work: () => Promise<T>, signal: AbortSignal, onLost?: (lost: boolean, why?: Error) => void): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      const done = await work();
      onLost?.(false);
      return done;
    } catch (error) {
      if (signal.aborted || !(error instanceof ApiError) || !error.isPassing || error.status === 429) throw error;
      onLost?.(true, error);
    }
    await pause(attempt, signal);
    signal.throwIfAborted();
  }
}

export interface Following {
  signal: AbortSignal;
  onEvent: (event: RunEvent) => void;
  /** Told true when the connection is lost and false when events come again. */
  onLost: (lost: boolean) => void;
}

/** Follows one answer from the event after `after` to its end, whatever happens to connection and server. */
export async function follow(responseId: string, after: number, how: Following): Promise<void> {
  let last = after;
  let attempt = 0;
  while (!how.signal.aborted) {
    try {
      const query = { stream: true, starting_after: last >= 0 ? last : null, include: "file_search_call.results" };
      const response = await send(`/v1/responses/${responseId}`, { query, signal: how.signal });
      for await (const sent of eventsOf(response)) {
        const event = JSON.parse(sent.data) as RunEvent;
        if (event.sequence_number <= last) continue; // no doubling, whatever a proxy repeats
        last = event.sequence_number;
        attempt = 0;
        how.onLost(false);
        how.onEvent(event);
        if (isEnd(event)) return;
      }
    } catch (error) {
      if (how.signal.aborted) return;
      if (error instanceof ApiError && !error.isPassing) throw error;
    }
    how.onLost(true);
    await pause(attempt++, how.signal);
  }
}

/**
 * Begins answers by a streamed POST and follows each to its end. A POST that is lost before its first event is
 * sent again under the same key, so the question is asked once; so is one of which not all `expected` answers
 * were heard of.
 */
export async function begin(path: string, asked: Asked, how: Following, expected = 1): Promise<void> {
  const last = new Map<string, number>();
  const open = new Set<string>();
  const note = (event: RunEvent) => {
    const id = event.response_id ?? event.response?.id ?? only(open);
    if (id === undefined) return;
    if (event.sequence_number <= (last.get(id) ?? -1)) return;
    last.set(id, event.sequence_number);
    if (isEnd(event)) open.delete(id);
    else open.add(id);
    how.onLost(false);
    how.onEvent({ ...event, response_id: id });
  };
  for (let attempt = 0; !how.signal.aborted; attempt++) {
    try {
      const response = await send(path, { ...asked, signal: how.signal });
      for await (const sent of eventsOf(response)) note(JSON.parse(sent.data) as RunEvent);
      break;
    } catch (error) {
      if (how.signal.aborted) return;
      if (last.size >= expected) break;
      if (error instanceof ApiError && (!error.isPassing || error.status === 429)) throw error;
    }
    how.onLost(true);
    await pause(attempt, how.signal);
  }
  await Promise.all(
    [...open].map((id) =>
      follow(id, last.get(id) ?? -1, { ...how, onEvent: (event) => how.onEvent({ ...event, response_id: id }) }),
    ),
  );
}

function only(open: Set<string>): string | undefined {
  return open.size === 1 ? open.values().next().value : undefined;
}
