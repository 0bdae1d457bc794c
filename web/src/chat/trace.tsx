import { createContext, useContext, useEffect, useState } from "react";
import { call, messageOf } from "../api/client";
import type { Excerpt } from "../api/types";
import { Dialog } from "../frame/dialog";
import { onDemand } from "../frame/on-demand";

const Passage = onDemand(() => import("./passage"));
const Opens = createContext<(excerpt: Excerpt) => void>(() => undefined);

interface Retrieval {
  searches: { id: string; status: string; queries: string[]; trace: Record<string, unknown> | null }[];
  citations: Record<string, number> | null;
}

/** How the sources of an answer were found: the server's own trace, laid out. */
export default function Trace({ responseId, onClose }: { responseId: string; onClose: () => void }) {
  const [found, setFound] = useState<Retrieval | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [open, setOpen] = useState<Excerpt | null>(null);
  useEffect(() => {
    call<Retrieval>(`/v1/responses/${responseId}/retrieval`)
      .then(setFound)
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, [responseId]);
  return (
    <Dialog title="How the sources were found" onClose={onClose} wide>
      {problem && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      <div className="trace" tabIndex={0} role="region" aria-label="Trace">
        <Opens.Provider value={setOpen}>
          {found?.searches.map((search) => (
            <section key={search.id}>
              <h3>{search.queries.map((query) => `“${query}”`).join(", ")}</h3>
              <Value value={search.trace} />
            </section>
          ))}
        </Opens.Provider>
        {found?.citations && (
          <section>
            <h3>Markers</h3>
            <Value value={found.citations} />
          </section>
        )}
      </div>
      {open && <Passage excerpt={open} onClose={() => setOpen(null)} />}
    </Dialog>
  );
}

/** Any JSON as lists and tables: rows of equal objects become a table. */
function Value({ value }: { value: unknown }) {
  if (Array.isArray(value)) {
    if (value.length && value.every(isObject)) return <Table rows={value} />;
    return <span>{value.map(String).join(", ") || "none"}</span>;
  }
  if (!isObject(value)) return <span>{shown(value)}</span>;
  return (
    <dl>
      {Object.entries(value).map(([name, inner]) => (
        <div key={name}>
          <dt>{name.replaceAll("_", " ")}</dt>
          <dd>
            <Value value={inner} />
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Table({ rows }: { rows: Record<string, unknown>[] }) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const columns = names.filter((name) => !name.endsWith("_id") && name !== "filename");
  const ofFiles = names.includes("file_id");
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead>
          <tr>
            {ofFiles && <th>file</th>}
            {columns.map((name) => (
              <th key={name}>{name.replaceAll("_", " ")}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, index) => (
            <tr key={index}>
              {ofFiles && (
                <td>
                  <File row={row} />
                </td>
              )}
              {columns.map((name) => (
                <td key={name}>{cell(row[name])}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The name of the file that a passage is of, which opens it; a file that is gone, or not the reader's, has none. */
function File({ row }: { row: Record<string, unknown> }) {
  const open = useContext(Opens);
  const { file_id, filename, version, start, end, page } = row;
  if (!filename) return shown(filename);
  const place = { version: Number(version), start: Number(start), end: Number(end), page: Number(page) || null };
  const excerpt = { file_id: String(file_id), filename: String(filename), antiphon: place };
  return (
    <button className="file-link" onClick={() => open(excerpt)}>
      {excerpt.filename}
    </button>
  );
}

function cell(value: unknown): string {
  if (Array.isArray(value)) return value.map(cell).join(", ");
  if (!isObject(value)) return shown(value);
  return Object.entries(value)
    .map(([name, inner]) => `${name} ${shown(inner)}`)
    .join(", ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
}
