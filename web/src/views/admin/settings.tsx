import { useEffect, useState, type FormEvent } from "react";
import { call, messageOf } from "../../api/client";
import { useModels } from "../../state/models";
import { tell } from "../../state/notices";
import { Problem } from "../parts";

const PATH = "/v1/admin/settings";

type Value = string | number | null;

interface Settings {
  values: Record<string, Value>;
  defaults: Record<string, Value>;
  stored: string[];
}

/** What can be changed without a restart; whatever is as configured returns to that. */
export function RuntimeSettings() {
  const [found, setFound] = useState<Settings | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const models = useModels((state) => state.list);
  useEffect(() => {
    call<Settings>(PATH)
      .then(setFound)
      .catch((error: unknown) => setProblem(messageOf(error)));
  }, []);
  if (!found) return <Problem text={problem} />;
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const changes: Record<string, Value> = {};
    for (const [name, now] of Object.entries(found.values)) {
      if (!given.has(name)) continue;
      const text = String(given.get(name));
      const value = typeof now === "number" ? Number(text) : name === "default_model" ? text || null : text;
      if (value !== now) changes[name] = value === found.defaults[name] ? null : value;
    }
    if (!Object.keys(changes).length) return;
    call<Settings>(PATH, { method: "PATCH", body: changes })
      .then((changed) => {
        setFound(changed);
        setProblem(null);
        tell("It holds from now on.");
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  const { values } = found;
  return (
    <form className="form narrow" onSubmit={submit} key={JSON.stringify(values)}>
      <Choice name="signup" label="Who may sign up" value={values.signup} all={[["closed", "nobody"], ["invite", "who is invited"], ["open", "everybody"]]} />
      <label>
        What is said beside signing up
        <textarea name="registration_message" rows={2} maxLength={2000} defaultValue={String(values.registration_message ?? "")} />
      </label>
      <Choice
        name="default_model"
        label="Who answers if nobody is named"
        value={values.default_model ?? ""}
        all={[["", "as configured"], ...models.map((one): [string, string] => [one.id, one.id])]}
      />
      <Choice name="response_cache" label="Equal questions are answered from the cache" value={values.response_cache} all={[["off", "never"], ["user", "of the same person"], ["shared", "of everybody"]]} />
      <label>
        Days that users’ conversations are kept (0: for ever)
        <input name="user_retention_days" type="number" min={0} max={36500} defaultValue={Number(values.user_retention_days)} />
      </label>
      <label>
        Days that administrators’ are
        <input name="admin_retention_days" type="number" min={0} max={36500} defaultValue={Number(values.admin_retention_days)} />
      </label>
      <Problem text={problem} />
      <button className="primary">Save</button>
    </form>
  );
}

function Choice({ name, label, value, all }: { name: string; label: string; value: Value | undefined; all: [string, string][] }) {
  return (
    <label>
      {label}
      <select name={name} defaultValue={String(value ?? "")}>
        {all.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
