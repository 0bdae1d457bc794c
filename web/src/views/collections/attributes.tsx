import { useState, type FormEvent } from "react";
import { messageOf } from "../../api/client";
import { Dialog, Submit } from "../../frame/dialog";
import { Icon } from "../../frame/icons";
import { describe, type Attributes, type Entry } from "../../state/collections";
import { Problem } from "../parts";

const MOST = 16;

/** What is said of a file, by which searches can be narrowed: names with texts, numbers or truths. */
export function AttributesDialog({ id, entry, name, onClose }: { id: string; entry: Entry; name: string; onClose: () => void }) {
  const [rows, setRows] = useState<[string, string][]>(() => [
    ...Object.entries(entry.attributes).map(([key, value]): [string, string] => [key, String(value)]),
    ["", ""],
  ]);
  const [problem, setProblem] = useState<string | null>(null);
  const change = (at: number, part: 0 | 1, value: string) =>
    setRows(rows.map((row, index) => (index === at ? (part ? [row[0], value] : [value, row[1]]) : row)));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const given = rows.filter(([key]) => key.trim());
    describe(id, entry.id, Object.fromEntries(given.map(([key, value]) => [key.trim(), meant(value)])) as Attributes)
      .then(onClose)
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <Dialog title={`Attributes of ${name}`} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <p className="note">Numbers, and the words true and false, are kept as what they are.</p>
        <Problem text={problem} />
        {rows.map(([key, value], index) => (
          <div className="row inline-form" key={index}>
            <input aria-label={`Name ${index + 1}`} placeholder="name" value={key} maxLength={64} onChange={(event) => change(index, 0, event.target.value)} />
            <input aria-label={`Value ${index + 1}`} placeholder="value" value={value} maxLength={512} onChange={(event) => change(index, 1, event.target.value)} />
            <button type="button" className="icon" aria-label={`Remove ${key || "this line"}`} onClick={() => setRows(rows.filter((_, at) => at !== index))}>
              <Icon name="close" />
            </button>
          </div>
        ))}
        {rows.length < MOST && (
          <div>
            <button type="button" className="quiet small" onClick={() => setRows([...rows, ["", ""]])}>
              Another one
            </button>
          </div>
        )}
        <Submit onClose={onClose}>Save</Submit>
      </form>
    </Dialog>
  );
}

function meant(value: string): string | number | boolean {
  if (value === "true" || value === "false") return value === "true";
  return /^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(value) ? Number(value) : value;
}
