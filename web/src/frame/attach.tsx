import { useEffect, useState } from "react";
import { call } from "../api/client";
import type { Page } from "../api/types";
import { tell, tellError } from "../state/notices";
import { link } from "../state/router";
import { Dialog } from "./dialog";
import "../styles/views.css";

const MOST = 100;

interface Collection {
  id: string;
  name: string | null;
  file_counts: { total: number };
  metadata: Record<string, string>;
}

interface Standing {
  vector_store_ids: string[];
}

/** Which collections every turn of a conversation is answered from. */
export default function Attach({ id, onClose }: { id: string; onClose: () => void }) {
  const path = `/v1/conversations/${id}/vector_stores`;
  const [all, setAll] = useState<Collection[] | null>(null);
  const [chosen, setChosen] = useState<string[]>([]);
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    const known = call<Page<Collection>>("/v1/vector_stores", { query: { limit: MOST }, signal });
    Promise.all([known, call<Standing>(path, { signal })])
      .then(([page, standing]) => {
        setAll(page.data.filter(({ metadata }) => !metadata.conversation || metadata.conversation === id));
        setChosen(standing.vector_store_ids);
      })
      .catch((error: unknown) => signal.aborted || tellError(error));
    return () => ending.abort();
  }, [path, id]);
  const save = () => {
    call<Standing>(path, { method: "PUT", body: { vector_store_ids: chosen } })
      .then(() => {
        tell("Answers here are looked for in what you chose.");
        onClose();
      })
      .catch(tellError);
  };
  return (
    <Dialog title="Collections of this conversation" onClose={onClose}>
      {all?.length === 0 && (
        <p className="note">
          There are none yet. <a href={link("collections")}>Make one</a> and put files into it.
        </p>
      )}
      <ul className="plain-list">
        {all?.map((one) => (
          <li key={one.id}>
            <label className="check">
              <input
                type="checkbox"
                checked={chosen.includes(one.id)}
                onChange={(event) =>
                  setChosen(event.target.checked ? [...chosen, one.id] : chosen.filter((other) => other !== one.id))
                }
              />
              <span className="grow">{one.metadata.conversation ? "What was attached here" : one.name || "Untitled"}</span>
              <span className="note">{one.file_counts.total} files</span>
            </label>
          </li>
        ))}
      </ul>
      <footer>
        <button className="quiet" onClick={onClose}>
          Cancel
        </button>
        <button className="primary" disabled={!all} onClick={save}>
          Save
        </button>
      </footer>
    </Dialog>
  );
}
