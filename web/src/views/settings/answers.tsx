import { useEffect, useState, type FormEvent } from "react";
import { messageOf } from "../../api/client";
import { keepManner, readManner, type Manner } from "../../state/manner";
import { tell } from "../../state/notices";
import { Problem } from "../parts";

/** How one wants to be answered in all chats, wherever one logs in. */
export function Answers() {
  const [manner, setManner] = useState<Manner | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  useEffect(() => {
    readManner()
      .then(setManner)
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const next = given(new FormData(event.currentTarget));
    keepManner(next)
      .then(() => {
        setManner(next);
        setProblem(null);
        tell("It holds from now on, in all your chats.");
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <section>
      <p className="note">Sent along with everything you ask on this page, whichever model answers. Programs say for themselves what they want.</p>
      <Problem text={problem} />
      {manner && (
        <form className="form narrow" onSubmit={submit} key={JSON.stringify(manner)}>
          <label>
            What every answer should heed
            <textarea
              name="instructions"
              rows={6}
              maxLength={8000}
              placeholder="Who you are, what you work on, how answers should sound"
              defaultValue={manner.instructions ?? ""}
            />
          </label>
          <label>
            Temperature, from 0 (the likeliest words) to 2
            <input name="temperature" type="number" min={0} max={2} step={0.1} placeholder="as the model has it" defaultValue={manner.temperature ?? ""} />
          </label>
          <label>
            Longest answer, in tokens
            <input name="max_output_tokens" type="number" min={16} max={1_000_000} step={1} placeholder="as the model has it" defaultValue={manner.max_output_tokens ?? ""} />
          </label>
          <button className="primary">Save</button>
        </form>
      )}
    </section>
  );
}

function given(form: FormData): Manner {
  const text = (name: string) => String(form.get(name)).trim();
  return {
    ...(text("instructions") ? { instructions: text("instructions") } : {}),
    ...(text("temperature") ? { temperature: Number(text("temperature")) } : {}),
    ...(text("max_output_tokens") ? { max_output_tokens: Number(text("max_output_tokens")) } : {}),
  };
}
