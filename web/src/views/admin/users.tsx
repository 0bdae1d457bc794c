import { useState, type FormEvent } from "react";
import { call, messageOf } from "../../api/client";
import { Confirm, Dialog, Submit } from "../../frame/dialog";
import { Icon } from "../../frame/icons";
import { Menu, MenuItem } from "../../frame/menu";
import { useAll, useList } from "../../state/lists";
import { tell } from "../../state/notices";
import { day, Problem, Table } from "../parts";

const PATH = "/v1/admin/users";

export interface User {
  id: string;
  name: string;
  email: string | null;
  role: "admin" | "user";
  state: "active" | "disabled";
  group_id: string | null;
  created_at: number;
  has_password: boolean;
}

interface Group {
  id: string;
  name: string;
}

/** Accounts: found by the beginning of a name, made, changed, shut out, deleted. */
export function Users() {
  const [prefix, setPrefix] = useState("");
  const users = useList<User>(PATH, { prefix });
  const groups = useAll<Group>("/v1/admin/groups");
  const [making, setMaking] = useState(false);
  return (
    <section>
      <div className="row inline-form">
        <input type="search" aria-label="Name begins with" placeholder="Name begins with" value={prefix} maxLength={64} onChange={(event) => setPrefix(event.target.value)} />
        <button className="primary" onClick={() => setMaking(true)}>
          New account
        </button>
      </div>
      <Problem text={users.problem} />
      {users.list && (
        <Table label="Accounts" columns={["Name", "E-mail address", "Role", "State", "Group", "Since", ""]}>
          {users.list.map((one) => (
            <UserRow key={one.id} user={one} groups={groups} act={users.act} />
          ))}
        </Table>
      )}
      {users.list?.length === 0 && <p className="empty">Nobody.</p>}
      {users.hasMore && (
        <button className="quiet" onClick={users.more}>
          More
        </button>
      )}
      {making && <NewUser groups={groups} onClose={() => setMaking(false)} onMade={users.again} />}
    </section>
  );
}

type Doing = "password" | "delete" | "group";

interface OfUser {
  user: User;
  act: (done: Promise<unknown>) => Promise<boolean>;
  change: (body: object) => Promise<boolean>;
  onDoing: (doing: Doing) => void;
}

function UserMenu({ user, act, change, onDoing }: OfUser) {
  const disabled = user.state === "disabled";
  const endAll = () => call(`${PATH}/${user.id}/sessions`, { method: "DELETE" }).then(() => tell("Every session has ended."));
  return (
    <Menu label={`More about ${user.name}`} trigger={<Icon name="more" />}>
      {(close) => {
        const item = (text: string, todo: () => void, danger = false) => (
          <MenuItem danger={danger} onClick={() => (close(), todo())}>
            {text}
          </MenuItem>
        );
        return (
          <>
            {item(user.role === "admin" ? "Make a user" : "Make an administrator", () => void change({ role: user.role === "admin" ? "user" : "admin" }))}
            {item("New password", () => onDoing("password"))}
            {item("Group", () => onDoing("group"))}
            {item("End all sessions", () => void act(endAll()))}
            {item(disabled ? "Let in again" : "Disable", () => void change({ state: disabled ? "active" : "disabled" }), !disabled)}
            {item("Delete", () => onDoing("delete"), true)}
          </>
        );
      }}
    </Menu>
  );
}

function UserRow({ user, groups, act }: { user: User; groups: Group[]; act: (done: Promise<unknown>) => Promise<boolean> }) {
  const [doing, setDoing] = useState<Doing | null>(null);
  const path = `${PATH}/${user.id}`;
  const change = (body: object) => act(call(path, { method: "PATCH", body }));
  const disabled = user.state === "disabled";
  return (
    <tr>
      <td className="file-name">
        {user.name}
        {doing === "password" && <NewPassword user={user} onClose={() => setDoing(null)} />}
        {doing === "group" && (
          <ChooseGroup user={user} groups={groups} onClose={() => setDoing(null)} onChosen={(group_id) => void change({ group_id })} />
        )}
        {doing === "delete" && (
          <Confirm
            title="Delete this account?"
            text={`“${user.name}” is shut out at once, and everything of theirs is erased.`}
            action="Delete"
            onClose={() => setDoing(null)}
            onConfirm={() => void act(call(path, { method: "DELETE" }))}
          />
        )}
      </td>
      <td>{user.email ?? "–"}</td>
      <td>{user.role === "admin" ? <span className="badge good">administrator</span> : "user"}</td>
      <td>{disabled ? <span className="badge bad">disabled</span> : "active"}</td>
      <td>{groups.find((one) => one.id === user.group_id)?.name ?? "–"}</td>
      <td>{day(user.created_at)}</td>
      <td className="acts">
        <UserMenu user={user} act={act} change={change} onDoing={setDoing} />
      </td>
    </tr>
  );
}

function NewUser({ groups, onClose, onMade }: { groups: Group[]; onClose: () => void; onMade: () => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string) => String(given.get(name)).trim() || null;
    const body = { name: text("name"), email: text("email"), password: text("password"), role: text("role"), group_id: text("group") };
    call(PATH, { body })
      .then(() => {
        onMade();
        onClose();
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <Dialog title="A new account" onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          Name
          <input name="name" required maxLength={64} autoComplete="off" autoCapitalize="none" data-first />
        </label>
        <label>
          E-mail address (may be left out)
          <input name="email" type="email" maxLength={254} autoComplete="off" />
        </label>
        <label>
          Password (without one the account logs in elsewhere only)
          <input name="password" type="password" minLength={8} maxLength={256} autoComplete="new-password" />
        </label>
        <label>
          Role
          <select name="role" defaultValue="user">
            <option value="user">user</option>
            <option value="admin">administrator</option>
          </select>
        </label>
        <GroupField groups={groups} chosen={null} />
        <Problem text={problem} />
        <Submit onClose={onClose}>Make it</Submit>
      </form>
    </Dialog>
  );
}

export function GroupField({ groups, chosen }: { groups: Group[]; chosen: string | null }) {
  if (!groups.length) return <input type="hidden" name="group" value={chosen ?? ""} />;
  return (
    <label>
      Group
      <select name="group" defaultValue={chosen ?? ""}>
        <option value="">none</option>
        {groups.map((one) => (
          <option key={one.id} value={one.id}>
            {one.name}
          </option>
        ))}
      </select>
    </label>
  );
}

function ChooseGroup({
  user,
  groups,
  onClose,
  onChosen,
}: {
  user: User;
  groups: Group[];
  onClose: () => void;
  onChosen: (group: string | null) => void;
}) {
  return (
    <Dialog title={`Group of ${user.name}`} onClose={onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          onChosen(String(new FormData(event.currentTarget).get("group")) || null);
          onClose();
        }}
      >
        {!groups.length && <p className="note">There are no groups yet.</p>}
        <GroupField groups={groups} chosen={user.group_id} />
        <Submit onClose={onClose}>Save</Submit>
      </form>
    </Dialog>
  );
}

function NewPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const [problem, setProblem] = useState<string | null>(null);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const password = new FormData(event.currentTarget).get("password");
    call(`${PATH}/${user.id}`, { method: "PATCH", body: { password } })
      .then(() => {
        tell(`${user.name} has a new password; their sessions have ended.`);
        onClose();
      })
      .catch((error: unknown) => setProblem(messageOf(error)));
  };
  return (
    <Dialog title={`A new password for ${user.name}`} onClose={onClose}>
      <form className="form" onSubmit={submit}>
        <label>
          New password
          <input name="password" type="password" minLength={8} maxLength={256} required autoComplete="new-password" data-first />
        </label>
        <Problem text={problem} />
        <Submit onClose={onClose}>Set it</Submit>
      </form>
    </Dialog>
  );
}
