import { useEffect, useState, type FormEvent } from "react";
import { call, messageOf } from "../api/client";
import { open, reread, chat } from "../state/chat";
import { tell, tellError } from "../state/notices";
import { revealItem } from "../state/places";
import { go, replace } from "../state/router";
import type { ViewProps } from "./registry";
import "../styles/views.css";
import "../styles/search.css";

const PAGE = 20;
const WHO = [
  ["", "anybody"],
  ["user", "people"],
  ["assistant", "models"],
] as const;

interface Hit {
  id: string;
  role: string;
  model: string | null;
  created_at: number;
  conversation: { id: string; title: string | null; owner: string | null };
  branch_id: string | null;
  on_active_branch: boolean;
  snippet?: { text: string; highlights: [number, number][] };
}

interface Found {
  data: Hit[];
  next_cursor: string | null;
  mode: string;
}

/** Finds what was said, by words and by meaning, and opens it where it stands. */
export default function Search({ rest }: ViewProps) {
  const [query = "", role = ""] = rest;
  const [found, setFound] = useState<Found | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const read = (after: string | null, signal?: AbortSignal) => {
    const body = { query, role: role || undefined, limit: PAGE, after: after ?? undefined };
    call<Found>("/v1/search", { body, signal })
      .then((page) => {
        setFound((before) => ({ ...page, data: [...(after ? (before?.data ?? []) : []), ...page.data] }));
        setProblem(null);
      })
      .catch((error: unknown) => signal?.aborted || setProblem(messageOf(error)));
  };
  useEffect(() => {
    setFound(null);
    if (!query) return;
    const ending = new AbortController();
    read(null, ending.signal);
    return () => ending.abort();
  }, [query, role]);
  return (
    <div className="view search">
      <h1>Search</h1>
      <Question query={query} role={role} />
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <p className="note" role="status">
        {found && (found.data.length ? `${found.data.length}${found.next_cursor ? " and more" : ""} found` : "Nothing was found.")}
      </p>
      <ol className="hits">
        {found?.data.map((hit) => (
          <li key={`${hit.conversation.id}:${hit.id}`}>
            <HitEntry hit={hit} />
          </li>
        ))}
      </ol>
      {found?.next_cursor && (
        <button className="quiet" onClick={() => read(found.next_cursor)}>
          More
        </button>
      )}
    </div>
  );
}

function Question({ query, role }: { query: string; role: string }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    replace("search", String(given.get("query")).trim(), String(given.get("role")));
  };
  return (
    <form className="row inline-form" role="search" onSubmit={submit}>
      <input
        name="query"
        type="search"
        aria-label="Words"
        placeholder={'words, "an exact phrase", -without'}
        defaultValue={query}
        required
        maxLength={2000}
        autoFocus
      />
      <select name="role" aria-label="Said by" defaultValue={role}>
        {WHO.map(([value, text]) => (
          <option key={value} value={value}>
            by {text}
          </option>
        ))}
      </select>
      <button className="primary">Search</button>
    </form>
  );
}

function HitEntry({ hit }: { hit: Hit }) {
  const owner = hit.conversation.owner;
  return (
    <button className="hit" onClick={() => openHit(hit).catch(tellError)}>
      <span className="hit-title">{hit.conversation.title || "Untitled"}</span>
      <span className="hit-text">{hit.snippet ? <Marked {...hit.snippet} /> : "…"}</span>
      <span className="note">
        {[
          hit.role === "user" ? "asked" : (hit.model ?? "answered"),
          new Date(hit.created_at * 1000).toLocaleDateString(),
          owner && `shared by ${owner}`,
          !hit.on_active_branch && "on another branch",
        ]
          .filter(Boolean)
          .join(" · ")}
      </span>
    </button>
  );
}

/** A text with some of it marked; the places count code points. */
function Marked({ text, highlights }: { text: string; highlights: [number, number][] }) {
  const points = Array.from(text);
  const parts: React.ReactNode[] = [];
  let at = 0;
  for (const [start, end] of highlights) {
    parts.push(points.slice(at, start).join(""));
    parts.push(<mark key={start}>{points.slice(start, end).join("")}</mark>);
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return <>{parts}</>;
}

/** Shows the message in its conversation, without changing for anybody which branch is the active one. */
async function openHit(hit: Hit): Promise<void> {
  const { id } = hit.conversation;
  await open(id);
  go("c", id);
  const { branchId } = chat.getState();
  if (hit.branch_id && hit.branch_id !== branchId) await reread(hit.branch_id);
  if (!(await revealItem(hit.id))) tell("The message is on no branch any more; its conversation is shown.");
}
