import { useState, type FormEvent } from "react";
import { call } from "../../api/client";
import { useList } from "../../state/lists";
import { link } from "../../state/router";
import { day, Problem, Rows, Secret } from "../parts";

const DAY = 86_400;
const ENDS: [number, string][] = [
  [DAY, "for a day"],
  [7 * DAY, "for a week"],
  [30 * DAY, "for 30 days"],
];

interface Invite {
  id: string;
  role: string;
  created_at: number;
  expires_at: number;
  used_by: string | null;
  revoked_at: number | null;
}

/** Invites, each for one account; its link is shown once. */
export function Invites() {
  const listed = useList<Invite>("/v1/admin/invites");
  const { problem, act } = listed;
  const [made, setMade] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const body = { role: given.get("role"), expires_in: Number(given.get("ends")) };
    void act(call<{ token: string }>("/v1/admin/invites", { body }).then(({ token }) => setMade(`${location.origin}/${link("signup", token)}`)));
  };
  return (
    <section>
      <p className="note">An invite is good for one account where signing up is not closed (see Settings).</p>
      <form className="row" onSubmit={submit}>
        <select className="narrow-field" name="role" aria-label="Role" defaultValue="user">
          <option value="user">a user</option>
          <option value="admin">an administrator</option>
        </select>
        <select className="narrow-field" name="ends" aria-label="How long it holds" defaultValue={7 * DAY}>
          {ENDS.map(([seconds, text]) => (
            <option key={seconds} value={seconds}>
              {text}
            </option>
          ))}
        </select>
        <button className="primary">Invite</button>
      </form>
      <Problem text={problem} />
      {made && <Secret value={made}>Whoever opens this can make an account. It is shown this once.</Secret>}
      <Rows listed={listed} label="Invites" columns={["For", "Made", "Until", "State", ""]} none="No invites yet.">
        {(one) => (
          <InviteRow invite={one} act={act} />
        )}
      </Rows>
    </section>
  );
}

function InviteRow({ invite, act }: { invite: Invite; act: (done: Promise<unknown>) => Promise<boolean> }) {
  const state = stateOf(invite);
  return (
    <tr>
      <td>{invite.role === "admin" ? "an administrator" : "a user"}</td>
      <td>{day(invite.created_at)}</td>
      <td>{day(invite.expires_at)}</td>
      <td>
        <span className={state === "open" ? "badge good" : "badge"}>{state}</span>
      </td>
      <td className="acts">
        {state === "open" && (
          <button className="quiet small" onClick={() => void act(call(`/v1/admin/invites/${invite.id}`, { method: "DELETE" }))}>
            Take back
          </button>
        )}
      </td>
    </tr>
  );
}

function stateOf(invite: Invite): string {
  if (invite.used_by) return "used";
  if (invite.revoked_at) return "taken back";
  return invite.expires_at * 1000 < Date.now() ? "expired" : "open";
}
