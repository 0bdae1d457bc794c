import { useState, type FormEvent } from "react";
import { messageOf } from "../../api/client";
import { forgetPrompt, keepPrompt, usePrompts, type Prompt } from "../../state/prompts";
import { Problem, Table } from "../parts";

const NEW: Prompt = { name: "", text: "" };

/** Texts that one asks with again and again. */
export function Prompts() {
  const list = usePrompts();
  const [editing, setEditing] = useState<Prompt>(NEW);
  const [kept, setKept] = useState(0);
  const [problem, setProblem] = useState<string | null>(null);
  const act = (work: Promise<void>) =>
    work
      .then(() => {
        setProblem(null);
        setEditing(NEW);
        setKept((count) => count + 1);
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  return (
    <section>
      <p className="note">Type / and some letters of a name where you write: the text comes in its place.</p>
      <Problem text={problem} />
      {list.length > 0 && (
        <Table label="Prompts" columns={["Name", "Text", ""]}>
          {list.map((one) => (
            <tr key={one.name}>
              <td>/{one.name}</td>
              <td className="file-name">{one.text}</td>
              <td className="acts">
                <button className="quiet small" aria-label={`Change ${one.name}`} onClick={() => setEditing(one)}>
                  Change
                </button>
                <button className="quiet small" aria-label={`Delete ${one.name}`} onClick={() => void act(forgetPrompt(one.name))}>
                  Delete
                </button>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Edit key={`${kept} ${editing.name}`} prompt={editing} onKeep={(prompt) => void act(keepPrompt(prompt, editing.name || undefined))} />
    </section>
  );
}

function Edit({ prompt, onKeep }: { prompt: Prompt; onKeep: (prompt: Prompt) => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    onKeep({ name: String(given.get("name")).trim(), text: String(given.get("text")).trim() });
  };
  return (
    <form className="form narrow" onSubmit={submit}>
      <label>
        Name
        <input name="name" required maxLength={60} pattern=".*\S.*" autoComplete="off" defaultValue={prompt.name} />
      </label>
      <label>
        Text
        <textarea name="text" required rows={6} maxLength={8000} defaultValue={prompt.text} />
      </label>
      <button className="primary">{prompt.name ? "Save" : "Add the prompt"}</button>
    </form>
  );
}
