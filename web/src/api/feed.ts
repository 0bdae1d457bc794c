/**
 * The live feed of one conversation: over a socket, or as server-sent events where no socket can be opened
 * (there are proxies that let no upgrade through).
 */

import { ApiError, bearerToken, call, isMissing, send } from "./client";
import { eventsOf } from "./stream";
import type { FeedEvent } from "./types";

const GONE = 4404;
const REFUSED = 4401;
/** How long a proxy may keep silent about an upgrade. */
const OPENING_MILLISECONDS = 8000;

/** Why a feed ended: the conversation is not there for the reader, the credential does not hold, or anything else. */
export type Ending = "gone" | "refused" | "lost";

export class Feed {
  private readonly path: string;
  private readonly left = new AbortController();
  private socket: WebSocket | null = null;

  constructor(
    conversationId: string,
    private readonly onEvent: (event: FeedEvent) => void,
  ) {
    this.path = `/v1/conversations/${conversationId}`;
  }

  /** Tells of what happened after a revision and of what happens, until it cannot be told any more. */
  async follow(after: number): Promise<Ending> {
    // Tried anew each time: one failure does not say whether a proxy or a server that was away refused it.
    return (await this.overSocket(after)) ?? (await this.overEvents(after));
  }

  /** Says whether one is writing. */
  say(typing: boolean): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "typing", typing }));
    else call(`${this.path}/typing`, { body: { typing } }).catch(() => undefined); // the next one may be heard
  }

  close(): void {
    this.left.abort();
    this.socket?.close();
  }

  /** Resolves with null where no socket was opened. */
  private overSocket(after: number): Promise<Ending | null> {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    return new Promise((resolve) => {
      const made = new WebSocket(`${scheme}://${location.host}${this.path}/events?starting_after=${after}`);
      this.socket = made;
      const impatience = setTimeout(() => made.close(), OPENING_MILLISECONDS);
      let opened = false;
      made.onopen = () => {
        opened = true;
        clearTimeout(impatience);
        const token = bearerToken();
        if (token) made.send(JSON.stringify({ type: "session.authenticate", token }));
      };
      made.onmessage = (message) => this.onEvent(JSON.parse(message.data as string) as FeedEvent);
      made.onclose = (event) => {
        clearTimeout(impatience);
        resolve(opened || this.left.signal.aborted ? endingOf(event.code) : null);
      };
    });
  }

  private async overEvents(after: number): Promise<Ending> {
    try {
      const query = { starting_after: after };
      const headers = { accept: "text/event-stream" };
      const response = await send(`${this.path}/events`, { query, headers, signal: this.left.signal });
      for await (const sent of eventsOf(response)) {
        const event = JSON.parse(sent.data) as FeedEvent;
        if (event.type === "closed") return "gone";
        this.onEvent(event);
      }
    } catch (error) {
      if (isMissing(error)) return "gone";
      if (error instanceof ApiError && error.status === 401) return "refused";
    }
    return "lost";
  }
}

function endingOf(code: number): Ending {
  if (code === GONE) return "gone";
  return code === REFUSED ? "refused" : "lost";
}
