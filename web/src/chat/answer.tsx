import { memo, useMemo, useState } from "react";
import { call } from "../api/client";
import type { Citation, Excerpt, Item, Part, RunState, SearchResult } from "../api/types";
import { Icon } from "../frame/icons";
import { onDemand } from "../frame/on-demand";
import { withMarks } from "../markdown/lexer";
import { Markdown } from "../markdown/markdown";
import { goOn } from "../state/asking";
import { chat, isViewer, useChat } from "../state/chat";
import { tellError } from "../state/notices";
import { isLocal } from "../state/receiving";
import { isEmptyEnding, isRunning, type Turn } from "../state/turns";

const Passage = onDemand(() => import("./passage"));

/** Everything an answer consists of, in its order: thoughts, searches, calls, text, and how it ended. */
export const Answer = memo(function Answer({ turn }: { turn: Turn }) {
  const going = isRunning(turn);
  const outputs = useMemo(() => outputsOf(turn.items), [turn.items]);
  const begun = turn.items.some((item) => item.type === "message" && item.content?.length);
  return (
    <div className="answer-body" aria-busy={going}>
      {turn.items.map((item, index) => (
        <AnswerItem key={item.id ?? index} item={item} outputs={outputs} growing={going && index === turn.items.length - 1} />
      ))}
      {going && !begun && <Pending />}
      {turn.lost && going && (
        <p className="ending" role="status">
          {isLocal(turn)
            ? "The server cannot be reached. The question is asked when it is back."
            : "The connection is lost. The answer goes on when it is back."}
        </p>
      )}
      <Ending turn={turn} />
    </div>
  );
});

function Pending() {
  return (
    <span className="dots" role="img" aria-label="Waiting">
      <i />
      <i />
      <i />
    </span>
  );
}

const NO_OUTPUTS: ReadonlyMap<string, Item> = new Map();

function outputsOf(items: Item[]): Map<string, Item> {
  return new Map(items.filter((item) => item.type === "function_call_output").map((item) => [item.call_id ?? "", item]));
}

function AnswerItem({ item, outputs, growing }: { item: Item; outputs: ReadonlyMap<string, Item>; growing: boolean }) {
  switch (item.type) {
    case "message":
      return (item.content ?? []).map((part, index) => <AnswerPart key={index} part={part} growing={growing} />);
    case "reasoning":
      return <Reasoning item={item} growing={growing} />;
    case "file_search_call":
      return <FileSearch item={item} />;
    case "function_call":
      return <FunctionCall item={item} output={outputs.get(item.call_id ?? "")} growing={growing} />;
    default:
      return null;
  }
}

interface Source {
  number: number;
  citation: Citation;
}

/** The words of an answer with what they cite, without what came about on the way. */
export function AnswerWords({ turn }: { turn: Turn }) {
  const messages = turn.items.filter((item) => item.type === "message");
  return messages.map((item) => <AnswerItem key={item.id} item={item} outputs={NO_OUTPUTS} growing={false} />);
}

function AnswerPart({ part, growing }: { part: Part; growing: boolean }) {
  const [open, setOpen] = useState<Citation | null>(null);
  const sources = useMemo(() => sourcesOf(part.annotations ?? []), [part.annotations]);
  const text = useMemo(
    () => withMarks(part.text ?? "", sources.map(({ citation, number }) => ({ index: citation.index, number }))),
    [part.text, sources],
  );
  if (part.type === "refusal") return <p className="ending">{part.refusal}</p>;
  const unique = [...new Map(sources.map((one) => [one.number, one])).values()];
  const show = (number: number) => setOpen(unique.find((one) => one.number === number)?.citation ?? null);
  return (
    <>
      <Markdown text={text} growing={growing} onCite={show} />
      {unique.length > 0 && (
        <ol className="sources" aria-label="Sources">
          {unique.map(({ number, citation }) => (
            <li key={number}>
              <button className="source" onClick={() => setOpen(citation)}>
                <span className="source-number">{number}</span>
                <span className="source-name">{citation.filename}</span>
                {citation.antiphon?.page ? <span className="source-page">page {citation.antiphon.page}</span> : null}
              </button>
            </li>
          ))}
        </ol>
      )}
      {open && <Passage excerpt={open} onClose={() => setOpen(null)} />}
    </>
  );
}

/** Numbers citations by what they quote: the same words are the same source. */
function sourcesOf(citations: readonly Citation[]): Source[] {
  const numbers = new Map<string, number>();
  return citations.filter(Boolean).map((citation) => {
    const { file_id, antiphon } = citation;
    const key = `${file_id}:${antiphon?.version}:${antiphon?.start}:${antiphon?.end}`;
    const number = numbers.get(key) ?? numbers.size + 1;
    numbers.set(key, number);
    return { number, citation };
  });
}

function Reasoning({ item, growing }: { item: Item; growing: boolean }) {
  const text = [...(item.summary ?? []), ...(item.content ?? [])].map((part) => part.text ?? "").join("\n\n");
  if (!text) return null;
  return (
    <details className="aside">
      <summary>{growing ? "Thinking…" : "Thoughts"}</summary>
      <Markdown text={text} growing={growing} />
    </details>
  );
}

/** What a search found: told by its events; with the items stored later it is read when somebody looks. */
function useResults(item: Item): { results: SearchResult[]; look: () => void } {
  const [known, setKnown] = useState<SearchResult[] | null>(null);
  const told = item.results ?? null;
  if (told && told !== known) setKnown(told);
  const look = () => {
    if (known || item.status !== "completed") return;
    const path = `/v1/conversations/${chat.getState().id}/items/${item.id}`;
    call<Item>(path, { query: { include: "file_search_call.results" } })
      .then(({ results }) => setKnown(results ?? []))
      .catch(tellError);
  };
  return { results: told ?? known ?? [], look };
}

const MOST_RESULTS = 10;
const RESULT_CHARACTERS = 300;

function FileSearch({ item }: { item: Item }) {
  const { results, look } = useResults(item);
  const done = item.status === "completed";
  const said = done ? "Searched the documents" : item.status === "failed" ? "The search failed" : "Searching the documents…";
  return (
    <details className="aside" onToggle={(event) => event.currentTarget.open && look()}>
      <summary>
        <Icon name="search" /> {said}
        {results.length > 0 && ` · ${results.length === 1 ? "1 passage" : `${results.length} passages`}`}
      </summary>
      <ul className="passages">
        {(item.queries ?? []).map((query, index) => (
          <li key={`q${index}`}>“{query}”</li>
        ))}
        {results.slice(0, MOST_RESULTS).map((one, index) => (
          <Result key={index} found={one} />
        ))}
      </ul>
    </details>
  );
}

function Result({ found }: { found: SearchResult }) {
  const [open, setOpen] = useState<Excerpt | null>(null);
  const { text, antiphon: place } = found;
  const excerpt = place && { ...found, antiphon: { ...place, quote: text } };
  return (
    <li>
      {excerpt ? (
        <button className="file-link" onClick={() => setOpen(excerpt)}>
          {found.filename}
        </button>
      ) : (
        <strong>{found.filename}</strong>
      )}{" "}
      <span className="score">{found.score.toFixed(2)}</span>
      <p>{text.slice(0, RESULT_CHARACTERS)}</p>
      {open && <Passage excerpt={open} onClose={() => setOpen(null)} />}
    </li>
  );
}

function FunctionCall({ item, output, growing }: { item: Item; output: Item | undefined; growing: boolean }) {
  return (
    <details className="aside">
      <summary>
        <Icon name="tool" /> {growing ? "Calling" : "Called"} <code>{item.name}</code>
        {!output && !growing ? " · no result yet" : ""}
      </summary>
      <pre tabIndex={0}>{pretty(item.arguments ?? "")}</pre>
      {output && <pre tabIndex={0}>{typeof output.output === "string" ? output.output : pretty(JSON.stringify(output.output))}</pre>}
    </details>
  );
}

function pretty(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}

const ENDINGS: Partial<Record<RunState, string>> = {
  failed: "The answer failed.",
  cancelled: "Stopped.",
  incomplete: "The answer is not complete.",
};

/** How an answer ended that did not end by itself, or without a word; where something was said one can have it go on. */
function Ending({ turn }: { turn: Turn }) {
  const mayGoOn = useChat((chat) => chat.path.at(-1) === turn.id && !isViewer(chat));
  const text = ENDINGS[turn.status] ?? (isEmptyEnding(turn) ? "The model said nothing." : null);
  if (!text) return null;
  const failed = turn.status === "failed";
  const goesOn = mayGoOn && turn.items.some((item) => item.type === "message");
  return (
    <div className={failed ? "ending problem" : "ending"} role={failed ? "alert" : undefined}>
      <span>{failed ? (turn.error?.message ?? text) : text}</span>
      {goesOn && (
        <button className="quiet small" onClick={() => void goOn(turn.id)}>
          Go on
        </button>
      )}
    </div>
  );
}
