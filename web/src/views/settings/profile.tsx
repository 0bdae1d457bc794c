import { useSession } from "../../state/session";
import { useList } from "../../state/lists";
import { call } from "../../api/client";
import { day, Problem } from "../parts";

interface Identity {
  id: string;
  provider: string | null;
  issuer: string;
  email: string | null;
  created_at: number;
}

/** Who one is here, and which logins elsewhere open the account. */
export function Profile() {
  const me = useSession((session) => session.me);
  const local = useSession((session) => session.open);
  if (!me) return null;
  return (
    <section>
      {local && <p className="note">This server is open to this computer only, and asks nobody to log in. You are its owner.</p>}
      <dl className="facts">
        <dt>Name</dt>
        <dd>{me.name}</dd>
        <dt>E-mail address</dt>
        <dd>{me.email || "none"}</dd>
        <dt>Role</dt>
        <dd>{me.role === "admin" ? "administrator" : me.role}</dd>
        <dt>Here since</dt>
        <dd>{day(me.created_at)}</dd>
      </dl>
      {!local && <Identities />}
    </section>
  );
}

function Identities() {
  const { list, problem, act } = useList<Identity>("/v1/auth/identities");
  if (!list?.length) return <Problem text={problem} />;
  return (
    <section>
      <h2>Logins elsewhere that open this account</h2>
      <Problem text={problem} />
      <ul className="plain-list">
        {list.map((one) => (
          <li key={one.id}>
            <span className="grow">{one.provider ?? one.issuer}</span>
            <span className="note">{one.email}</span>
            <button className="quiet small" onClick={() => void act(call(`/v1/auth/identities/${one.id}`, { method: "DELETE" }))}>
              End
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
