/**
 * What was asked and the server has not taken in yet: it goes on by itself when the server is back, and comes back
 * to where one writes when one stops it, or looks elsewhere while the server is away.
 */

import { send } from "../api/client";
import { persist } from "../api/stream";
import type { Conversation, Part } from "../api/types";
import { becomeChat, makeConversation } from "./beginning";
import { chat, whileOpen } from "./chat";
import { giveBack } from "./drafts";
import { tellError } from "./notices";
import { isRunning, type Turn } from "./turns";

/** So long a request that nothing was heard of is waited for when one wants to stop. */
const STOP_MILLISECONDS = 3000;

const all = new Set<Unsent>();

export class Unsent {
  /** The conversation it is asked in, once there is one. */
  conversationId = chat.getState().id;
  branchId = chat.getState().branchId;
  /** The conversation that was made for it, as long as the server has not taken it in. */
  made: Conversation | null = null;
  private readonly before = chat.getState();
  private readonly open = whileOpen();
  private readonly ending = new AbortController();
  private state: "preparing" | "sent" | "lost" | "refused" | "taken" = "preparing";
  private stopping = false;

  /** Before anything of it is put onto the screen; `parts` are what one gets back. */
  constructor(
    private readonly turns: readonly Turn[],
    private readonly parts: readonly Part[] = [],
  ) {
    all.add(this);
    this.open.addEventListener("abort", this.leave);
  }

  /** Ends when it was given back, or one looks elsewhere and it goes on without the page. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }

  /** Whether one looks elsewhere by now. */
  get isLeft(): boolean {
    return this.open.aborted;
  }

  has(turnId: string): boolean {
    return this.turns.some((turn) => turn.id === turnId);
  }

  /** Does what is needed before it can be sent, again and again while the server is away. */
  prepare<T>(work: () => Promise<T>): Promise<T> {
    return persist(work, this.signal, this.onLost);
  }

  /** Makes the conversation that it is the first question of; returns the id. */
  async make(parts: readonly Part[]): Promise<string> {
    this.made = await makeConversation(parts, (work) => this.prepare(work), this.signal);
    this.branchId = this.made.active_branch_id;
    return this.made.id;
  }

  /** From now on the server may have it, though nothing was heard yet. */
  send(): void {
    this.state = "sent";
  }

  onLost = (lost: boolean): void => {
    if (this.state === "taken") return;
    if (lost) this.state = "lost";
    if (lost && (this.stopping || this.isLeft)) return this.takeBack();
    this.show({ lost });
  };

  /** The server has it: an answer begins. */
  take(responseId: string): void {
    this.state = "taken";
    if (this.made) {
      this.conversationId = this.made.id;
      becomeChat(this.made, this.isLeft);
      this.made = null;
    }
    if (this.stopping) cancel(responseId);
    if (this.isLeft) this.end();
  }

  /** The server does not want it; where it stands it can be asked again. */
  refuse(message: string): void {
    if (this.signal.aborted) return;
    this.state = "refused";
    if (this.isLeft) return this.takeBack();
    this.show({ status: "failed", error: { code: "not_sent", message } });
  }

  stop(): void {
    this.stopping = true;
    if (this.state !== "sent") this.takeBack();
    else setTimeout(() => this.state !== "taken" && this.takeBack(), STOP_MILLISECONDS);
  }

  /** Nothing is left to do, unless it was refused and still stands there. */
  done(): void {
    if (this.state !== "refused") this.forget();
  }

  forget(): void {
    all.delete(this);
    this.open.removeEventListener("abort", this.leave);
  }

  /** Gives what was asked back to where one writes, as far as the server cannot have it. */
  takeBack(): void {
    if (!all.has(this)) return;
    this.end();
    this.forget();
    if (!this.isLeft) this.takeOff();
    if (this.parts.length) giveBack(this.conversationId, this.parts);
  }

  /** The page itself goes away: what was sent a moment ago has arrived, or will be asked by nobody. */
  leave = (): void => {
    if (this.state === "taken") this.end();
    else if (this.state !== "sent") this.takeBack();
  };

  get isWaiting(): boolean {
    return this.state !== "refused" && this.state !== "taken";
  }

  private end(): void {
    this.ending.abort();
  }

  private show(changes: Partial<Turn>): void {
    chat.setState((now) => {
      const ids = this.turns.map((turn) => turn.id).filter((id) => now.turns[id] && isRunning(now.turns[id]));
      return { turns: { ...now.turns, ...Object.fromEntries(ids.map((id) => [id, { ...now.turns[id]!, ...changes }])) } };
    });
  }

  /** Shows what was shown before it was asked. */
  private takeOff(): void {
    chat.setState((now) => {
      const turns = Object.fromEntries(Object.entries(now.turns).filter(([id]) => !this.has(id)));
      const { path, beside, fans } = this.before;
      const earlier = now.path.slice(0, Math.max(now.path.indexOf(path[0] ?? ""), 0));
      return { turns, path: [...earlier, ...path], beside, fans };
    });
  }
}

/** Takes back, or stops as soon as they begin, the questions that the server has not taken in. */
export function stopUnsent(): void {
  for (const one of [...all]) if (one.isWaiting && !one.isLeft) one.stop();
}

/** What was refused is asked in another way. */
export function forgetRefused(turnId: string): void {
  for (const one of [...all]) if (one.has(turnId)) one.forget();
}

function cancel(responseId: string): void {
  send(`/v1/responses/${responseId}/cancel`, { method: "POST" }).catch(tellError);
}

addEventListener("pagehide", () => all.forEach((one) => one.leave()));
