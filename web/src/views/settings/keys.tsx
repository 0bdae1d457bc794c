import { useState, type FormEvent } from "react";
import { call } from "../../api/client";
import { useList } from "../../state/lists";
import { useSession } from "../../state/session";
import { day, moment, More, Problem, Secret, Table } from "../parts";

const DAY = 86_400;
const ENDS: [number, string][] = [
  [30 * DAY, "for 30 days"],
  [365 * DAY, "for a year"],
  [0, "until it is revoked"],
];

interface Key {
  id: string;
  name: string;
  prefix: string;
  scopes: string[];
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
}

/** Keys for programs; each is shown once. */
export function Keys() {
  const { list, problem, act, hasMore, more } = useList<Key>("/v1/api_keys");
  const admin = useSession((session) => session.me?.role === "admin");
  const [made, setMade] = useState<string | null>(null);
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    const ends = Number(given.get("ends"));
    const body = { name: given.get("name"), scopes: given.getAll("scope"), ...(ends ? { expires_in: ends } : {}) };
    const done = await act(call<{ key: string }>("/v1/api_keys", { body }).then(({ key }) => setMade(key)));
    if (done) form.reset();
  };
  return (
    <section>
      <p className="note">OpenAI’s libraries take a key as their api_key, with this server’s /v1 as base_url.</p>
      <Problem text={problem} />
      <form className="form" onSubmit={(event) => void submit(event)}>
        <div className="row inline-form">
          <input name="name" aria-label="Name of the key" placeholder="What it is for" required maxLength={100} autoComplete="off" />
          <select name="ends" aria-label="How long it holds" defaultValue={30 * DAY}>
            {ENDS.map(([seconds, text]) => (
              <option key={seconds} value={seconds}>
                {text}
              </option>
            ))}
          </select>
          <button className="primary">Make a key</button>
        </div>
        <fieldset className="choices row">
          <legend className="off-screen">What it may do</legend>
          {["read", "write", ...(admin ? ["admin"] : [])].map((scope) => (
            <label className="check scope" key={scope}>
              <input type="checkbox" name="scope" value={scope} defaultChecked={scope !== "admin"} />
              {scope}
            </label>
          ))}
        </fieldset>
      </form>
      {made && <Secret value={made}>This is the key. It is shown this once.</Secret>}
      {list?.length === 0 && <p className="empty">No keys yet.</p>}
      {list && list.length > 0 && (
        <Table label="API keys" columns={["Name", "Begins with", "May", "Ends", "Last used", ""]}>
          {list.map((one) => (
            <KeyRow key={one.id} made={one} onRevoke={() => void act(call(`/v1/api_keys/${one.id}`, { method: "DELETE" }))} />
          ))}
        </Table>
      )}
      {hasMore && <More onClick={more} />}
    </section>
  );
}

function KeyRow({ made, onRevoke }: { made: Key; onRevoke: () => void }) {
  return (
    <tr>
      <td>{made.name}</td>
      <td>
        <code>{made.prefix}</code>
      </td>
      <td>{made.scopes.join(", ")}</td>
      <td>{made.expires_at ? day(made.expires_at) : "never"}</td>
      <td>{made.last_used_at ? moment(made.last_used_at) : "never"}</td>
      <td className="acts">
        <button className="quiet small" aria-label={`Revoke ${made.name}`} onClick={onRevoke}>
          Revoke
        </button>
      </td>
    </tr>
  );
}
