import { useEffect, useState } from "react";
import { ApiError, call, isMissing, send } from "../api/client";
import { eventsOf, pause } from "../api/stream";
import type { Item, Page } from "../api/types";
import { AnswerWords } from "../chat/answer";
import { SaidPart } from "../chat/message";
import { ShownAt } from "../chat/pictures";
import { wholes } from "../state/joining";
import { textOf, turnsOf } from "../state/turns";
import "../styles/views.css";
import "../styles/shared.css";

const PAGE = 100;
const MOST_PAGES = 50;

interface Head {
  title: string | null;
  item_count: number;
  updated_at: number;
}

/** What a link shares, to read, as it grows. */
export default function Shared({ token }: { token: string }) {
  const [head, setHead] = useState<Head | null>(null);
  const [items, setItems] = useState<Item[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    const ending = new AbortController();
    const refresh = async (changed: Head) => {
      const read = await readItems(token, ending.signal);
      setHead(changed);
      setItems(read);
    };
    followShared(token, refresh, ending.signal).catch((error: unknown) => {
      if (ending.signal.aborted) return;
      setProblem(isMissing(error) ? "This link leads nowhere: it was revoked, or has expired." : String(error));
    });
    return () => ending.abort();
  }, [token]);
  useEffect(() => {
    document.title = head?.title ? `${head.title} – Antiphon` : "Antiphon";
  }, [head]);
  if (problem) {
    return (
      <main className="gate">
        <h1>Nothing is shared here</h1>
        <p role="alert">{problem}</p>
      </main>
    );
  }
  return (
    <main className="shared" tabIndex={0}>
      <header>
        <p className="note">A shared conversation, to read</p>
        <h1>{head ? head.title || "Untitled" : "…"}</h1>
      </header>
      <ShownAt.Provider value={`/v1/shared/${token}`}>
        {wholes(turnsOf(items)).map((turn) =>
          turn.role === "user" ? (
            <article key={turn.id} className="shared-said" aria-label="Question">
              {turn.items.flatMap(({ id, content }) =>
                (content ?? []).map((part, index) => <SaidPart key={`${id}${index}`} part={part} itemId={id} />),
              )}
            </article>
          ) : (
            textOf(turn) && (
              <article key={turn.id} aria-label="Answer">
                <AnswerWords turn={turn} />
              </article>
            )
          ),
        )}
      </ShownAt.Provider>
    </main>
  );
}

async function readItems(token: string, signal: AbortSignal): Promise<Item[]> {
  const found: Item[] = [];
  for (let count = 0; count < MOST_PAGES; count++) {
    const query = { limit: PAGE, after: found.at(-1)?.id };
    const page = await call<Page<Item>>(`/v1/shared/${token}/items`, { query, signal });
    found.push(...page.data);
    if (!page.has_more) break;
  }
  return found;
}

/** Tells what the link shows, at once and whenever it changes; throws when it leads nowhere any more. */
async function followShared(token: string, onChange: (head: Head) => Promise<void>, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const response = await send(`/v1/shared/${token}/events`, { headers: { accept: "text/event-stream" }, signal });
      for await (const { event, data } of eventsOf(response)) {
        if (event === "closed") throw new ApiError(404, "The link was revoked.");
        if (event === "changed") await onChange(JSON.parse(data) as Head);
        attempt = 0;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && !error.isPassing) throw error;
    }
    await pause(attempt, signal);
  }
}
