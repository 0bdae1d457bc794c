import { useState, type FormEvent } from "react";
import { useAll, useList } from "../../state/lists";
import { moment, Problem, Rows } from "../parts";
import type { User } from "./users";

interface Entry {
  id: string;
  created_at: number;
  actor_id: string | null;
  action: string;
  target: string | null;
  detail: Record<string, unknown>;
  address: string | null;
}

/** Who changed what, newest first. */
export function Audit() {
  const [wanted, setWanted] = useState<Record<string, string>>({});
  const listed = useList<Entry>("/v1/admin/audit", wanted);
  const { problem } = listed;
  const users = useAll<User>("/v1/admin/users");
  const nameOf = (id: string | null) => (id === null ? "the server" : (users.find((one) => one.id === id)?.name ?? id));
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const entries = ["action", "actor_id"].map((name) => [name, String(given.get(name)).trim()] as const);
    setWanted(Object.fromEntries(entries.filter(([, value]) => value)));
  };
  return (
    <section>
      <form className="row inline-form" onSubmit={submit}>
        <input name="action" aria-label="What was done" placeholder="What was done, e.g. user.update" maxLength={128} autoComplete="off" />
        <select name="actor_id" aria-label="By whom">
          <option value="">by anybody</option>
          {users.map((one) => (
            <option key={one.id} value={one.id}>
              by {one.name}
            </option>
          ))}
        </select>
        <button className="quiet">Show</button>
      </form>
      <Problem text={problem} />
      <Rows listed={listed} label="Audit log" columns={["When", "Who", "Did", "On", "How", "From"]} none="Nothing.">
        {(one) => (
          <tr>
            <td className="when">{moment(one.created_at)}</td>
            <td>{nameOf(one.actor_id)}</td>
            <td>{one.action}</td>
            <td className="file-name">{one.target ? nameOf(one.target) : "–"}</td>
            <td className="note">{Object.keys(one.detail).length ? JSON.stringify(one.detail) : ""}</td>
            <td>{one.address ?? "–"}</td>
          </tr>
        )}
      </Rows>
    </section>
  );
}
