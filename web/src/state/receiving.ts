/** How turns come onto the screen before the server has them, and become what it makes of them. */

import { isEnd, type Following } from "../api/stream";
import type { Part, Response, RunEvent } from "../api/types";
import { chat, whileOpen, type Chat } from "./chat";
import { nextFrame } from "./frames";
import { after, emptyTurn, isRunning, type Turn } from "./turns";
import type { Unsent } from "./unsent";

const LOCAL = "local:";
let count = 0;

function localId(): string {
  return `${LOCAL}${++count}`;
}

/** Whether the server never took a turn in. */
export function isLocal(turn: Turn): boolean {
  return turn.id.startsWith(LOCAL);
}

export function userTurn(parts: Part[]): Turn {
  const items = [{ id: localId(), type: "message", role: "user" as const, content: parts }];
  return emptyTurn(items[0]!.id, "user", { items });
}

export function answerTurn(model: string | null): Turn {
  return emptyTurn(localId(), "assistant", { model, status: "queued" });
}

export function put(path: string[], turns: Turn[]): void {
  chat.setState((now) => ({
    path,
    turns: { ...now.turns, ...Object.fromEntries(turns.map((turn) => [turn.id, turn])) },
  }));
}

export function putBeside(old: string, fresh: string): void {
  chat.setState((now) => {
    const all = [...(now.beside[old] ?? [old]), fresh];
    return { beside: { ...now.beside, [old]: all, [fresh]: all } };
  });
}

export function fan(saidId: string, answers: Turn[]): void {
  const ids = answers.map((turn) => turn.id);
  chat.setState((now) => ({
    fans: { ...now.fans, [saidId]: ids },
    beside: { ...now.beside, [ids[0]!]: ids },
  }));
}

function renamed(now: Chat, old: string, fresh: string): Partial<Chat> {
  if (old === fresh) return {};
  const swap = (ids: string[]) => ids.map((one) => (one === old ? fresh : one));
  const lists = (all: Record<string, string[]>) =>
    Object.fromEntries(Object.entries(all).map(([key, ids]) => [key === old ? fresh : key, swap(ids)]));
  const { [old]: turn, ...turns } = now.turns;
  if (turn) turns[fresh] = { ...turn, id: fresh };
  return { turns, path: swap(now.path), beside: lists(now.beside), fans: lists(now.fans) };
}

/** Where the events of some answers go: each answer takes the place of one that waits for it. */
export class Receiving implements Following {
  readonly signal: AbortSignal;
  private readonly places = new Map<string, string>();
  private readonly drafts = new Map<string, Turn>();

  constructor(
    private readonly waiting: string[],
    private readonly said: Turn | null,
    private readonly question: Unsent | null,
  ) {
    this.signal = question?.signal ?? whileOpen();
  }

  onEvent = (event: RunEvent): void => {
    const id = event.response_id ?? event.response?.id;
    if (!id) return;
    if (!this.places.has(id)) this.arrive(id, event.response);
    const draft = this.drafts.get(id) ?? chat.getState().turns[id];
    if (!draft) return;
    this.drafts.set(id, after({ ...draft, lost: false }, event));
    if (isEnd(event)) this.publish();
    else nextFrame(this.publish);
  };

  onLost = (lost: boolean): void => {
    this.question?.onLost(lost);
    chat.setState((now) => {
      const ids = [...this.places.keys(), ...this.waiting].filter((id) => {
        const turn = now.turns[id];
        return turn && turn.lost !== lost && isRunning(turn);
      });
      if (!ids.length) return now;
      return { turns: { ...now.turns, ...Object.fromEntries(ids.map((id) => [id, { ...now.turns[id]!, lost }])) } };
    });
    for (const [id, draft] of this.drafts) this.drafts.set(id, { ...draft, lost });
  };

  private arrive(id: string, response: Response | undefined): void {
    const index = response ? this.waiting.findIndex((one) => chat.getState().turns[one]?.model === response.model) : 0;
    const [place] = this.waiting.splice(Math.max(index, 0), 1);
    this.places.set(id, place ?? id);
    this.question?.take(id);
    chat.setState((now) => {
      let next: Chat = { ...now, ...(place ? renamed(now, place, id) : {}) };
      const input = response?.antiphon?.input_item_ids;
      if (this.said && input?.length && next.turns[this.said.id]) {
        next = { ...next, ...renamed(next, this.said.id, input[0]!) };
        const turn = next.turns[input[0]!]!;
        next.turns[turn.id] = { ...turn, items: turn.items.map((item, at) => ({ ...item, id: input[at] ?? item.id })) };
      }
      if (response?.antiphon?.branch_id && next.path.includes(id)) next.branchId = response.antiphon.branch_id;
      return next;
    });
  }

  private publish = (): void => {
    if (this.signal.aborted || !this.drafts.size) return;
    const drafts = Object.fromEntries(this.drafts);
    for (const [id, draft] of this.drafts) if (!isRunning(draft)) this.drafts.delete(id);
    chat.setState((now) => ({ turns: { ...now.turns, ...drafts } }));
  };
}
