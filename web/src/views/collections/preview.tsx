import { useEffect, useState } from "react";
import { call, messageOf } from "../../api/client";
import { Dialog } from "../../frame/dialog";
import type { Entry } from "../../state/collections";
import { Problem } from "../parts";

interface Content {
  data: { text: string }[];
  next_page: string | null;
}

/** The text that was read out of a file, a part at a time, and what could not be read. */
export function Preview({ id, entry, name, onClose }: { id: string; entry: Entry; name: string; onClose: () => void }) {
  const [text, setText] = useState<string[]>([]);
  const [next, setNext] = useState<string | null>(null);
  const [notes, setNotes] = useState<string[]>([]);
  const [problem, setProblem] = useState<string | null>(null);
  const path = `/v1/vector_stores/${id}/files/${entry.id}`;
  const read = (page: string | null) =>
    call<Content>(`${path}/content`, { query: { page } })
      .then((found) => {
        setText((before) => [...(page ? before : []), ...found.data.map((part) => part.text)]);
        setNext(found.next_page);
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  useEffect(() => {
    void read(null);
    call<Entry>(path)
      .then((found) => setNotes(found.antiphon.notes ?? []))
      .catch(() => undefined); // then nothing is said beside the text
  }, [path]);
  return (
    <Dialog title={name} onClose={onClose} wide>
      <Problem text={problem} />
      {notes.length > 0 && <p className="note">{notes.join(" ")}</p>}
      <div className="file-text" tabIndex={0} role="region" aria-label="Text of the file">
        {text.map((part, index) => (
          <p key={index} className="plain">
            {part}
          </p>
        ))}
        {next && (
          <button className="quiet" onClick={() => void read(next)}>
            Further
          </button>
        )}
      </div>
    </Dialog>
  );
}
