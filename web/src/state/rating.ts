/** What one thinks of an answer: kept with it, for all who read it. */

import { call } from "../api/client";
import type { Rating } from "../api/types";
import { chat } from "./chat";
import { tellError } from "./notices";

/** Calls an answer good or bad, or takes that back; it shows at once. */
export async function rate(responseId: string, rating: Rating | null): Promise<void> {
  const before = chat.getState().turns[responseId]?.rating ?? null;
  noteRating(responseId, rating);
  const how = rating === null ? { method: "DELETE" } : { method: "PUT", body: { rating } };
  try {
    await call(`/v1/responses/${responseId}/rating`, how);
  } catch (error) {
    noteRating(responseId, before);
    tellError(error);
  }
}

/** Shows what an answer was called, by whomever. */
export function noteRating(responseId: string, rating: Rating | null): void {
  chat.setState((now) => {
    const turn = now.turns[responseId];
    return turn && turn.rating !== rating ? { turns: { ...now.turns, [responseId]: { ...turn, rating } } } : now;
  });
}
